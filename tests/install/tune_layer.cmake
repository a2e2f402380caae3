# Short runs of examples/tune_layer: the error falls, by the same in every run. Then one that is
# long enough for the error to fall as far as it must.
include(${CMAKE_CURRENT_LIST_DIR}/run_example.cmake)
build_example(tune_layer)

set(command ${program} --format int4 --steps 12 --threads 1)
set(after_by_before "int4 +int8 +[a-z]+, [a-z]+ +[0-9.]+% +[0-9.]+% +([0-9.]+)")
run(${command})
set(first "${output}")
expect_number("${after_by_before}" LESS 0.97)
run(${command})
if(NOT output STREQUAL first)
  message(FATAL_ERROR "Two runs differ:\n${first}\n${output}")
endif()

# By a third of the steps that it takes when it is not told: a matter of seconds.
if(IS_RELEASE AND NOT SANITIZE)
  run(${CMAKE_COMMAND} -E env OMP_WAIT_POLICY=passive ${program} --format int4 --steps 200)
  expect_number("${after_by_before}" LESS_EQUAL 0.65)
endif()

run_refused("there is no tensor" ${program} --weight ${SOURCE}/data/minilm_weight.safetensors:none)
run_refused("none is held out" ${program} --train 665)
run_refused("takes int4, int8 or E4M3" ${program} --format int3)
