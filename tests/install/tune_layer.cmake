# A short run of examples/tune_layer: the error falls, by the same in every run.
include(${CMAKE_CURRENT_LIST_DIR}/run_example.cmake)
build_example(tune_layer)

set(command ${program} --format int4 --steps 12 --threads 1)
run(${command})
set(first "${output}")
expect_number("int4 +int8 +[a-z]+, [a-z]+ +[0-9.]+% +[0-9.]+% +([0-9.]+)" LESS 0.97)
run(${command})
if(NOT output STREQUAL first)
  message(FATAL_ERROR "Two runs differ:\n${first}\n${output}")
endif()

run_refused("there is no tensor" ${program} --weight ${SOURCE}/data/minilm_weight.safetensors:none)
run_refused("none is held out" ${program} --train 665)
run_refused("takes int4, int8 or E4M3" ${program} --format int3)
