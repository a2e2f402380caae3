# A short run of examples/train_digits with --backend cuda on the executor: it learns, quantized too,
# and what it saves is, on the host, the network that was measured.
include(${CMAKE_CURRENT_LIST_DIR}/run_example.cmake)

set(saved ${SCRATCH}/train_digits_on_simt.safetensors)
set(command ${PROGRAM} --backend cuda --seeds 1 --epochs 6 --qat-epochs 2)
run(${command} --save ${saved})
expect_number("f32 +no +([0-9.]+)%" GREATER_EQUAL 90)
expect_number("int8 +after training +([0-9.]+)%" GREATER_EQUAL 90)
expect_number("int8 +while training +([0-9.]+)%" GREATER_EQUAL 90)
expect_number("int4 +while training +([0-9.]+)%" GREATER_EQUAL 90)
expect_number("E4M3 +while training +([0-9.]+)%" GREATER_EQUAL 90)
# Integer products have the same bits everywhere.
if(NOT output MATCHES "int8 +while training +([0-9.]+)%.*accuracy when loaded ([0-9.]+)%" OR
   NOT CMAKE_MATCH_1 STREQUAL CMAKE_MATCH_2)
  message(FATAL_ERROR "The saved network is another:\n${output}")
endif()
