# Short runs of examples/train_digits: it learns, quantized too, and gives the same in every run.
# Then the whole of it: quantized networks are as accurate as they must be.
include(${CMAKE_CURRENT_LIST_DIR}/run_example.cmake)
build_example(train_digits)

set(plot ${SCRATCH}/train_digits/plot.svg)
set(saved ${SCRATCH}/train_digits/int8.safetensors)
set(command ${program} --seeds 1 --epochs 20 --qat-epochs 5 --save ${saved})
run(${command} --plot ${plot} --threads 1)
set(first "${output}")
expect_number("f32 +no +([0-9.]+)%" GREATER_EQUAL 95)
expect_number("int8 +after training +([0-9.]+)%" GREATER_EQUAL 95)
expect_number("int8 +while training +([0-9.]+)%" GREATER_EQUAL 95)
expect_number("int4 +while training +([0-9.]+)%" GREATER_EQUAL 94)
expect_number("E4M3 +while training +([0-9.]+)%" GREATER_EQUAL 95)

# What was saved is the network that was measured.
if(NOT output MATCHES "int8 +while training +([0-9.]+)%.*accuracy when loaded ([0-9.]+)%" OR
   NOT CMAKE_MATCH_1 STREQUAL CMAKE_MATCH_2)
  message(FATAL_ERROR "The saved network is another:\n${output}")
endif()
file(READ ${plot} svg)
if(NOT svg MATCHES "^<svg.*<polyline.*</svg>\n$")
  message(FATAL_ERROR "${plot} is no plot")
endif()

run(${command} --threads 2)
if(NOT output STREQUAL first)
  message(FATAL_ERROR "Two runs differ:\n${first}\n${output}")
endif()

# Of five seeds: how many points the mean is above that of f32.
if(IS_RELEASE AND NOT SANITIZE)
  run(${program})
  set(above_f32 " +training +[0-9.]+% +[0-9.]+%- *[0-9.]+% +([-+][0-9.]+) ")
  foreach(how after while)
    expect_number("int8 +${how}${above_f32}" GREATER_EQUAL -0.3)
    expect_number("E4M3 +${how}${above_f32}" GREATER_EQUAL -0.3)
  endforeach()
  expect_number("int4 +after${above_f32}" GREATER_EQUAL -5)
  set(after_training ${number})
  expect_number("int4 +while${above_f32}" GREATER_EQUAL -1)
  expect_number("int4 +while${above_f32}" GREATER_EQUAL ${after_training})
endif()

run_refused("takes cpu or cuda, not \"gpu\"" ${program} --backend gpu)
if(NOT HAS_CUDA)
  run_refused("built without CUDA" ${program} --backend cuda)
endif()
run_refused("no option --epoch" ${program} --epoch 1)
run_refused("whole number from 1, not \"0\"" ${program} --seeds 0)
run_refused("cannot open" ${program} --data ${SCRATCH}/none.safetensors)
