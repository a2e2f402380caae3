# What the examples' tests share: install the package, build an example against it, run it.

# Runs a program that must end with 0; sets `output`.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output
                  ERROR_VARIABLE errors)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${ARGN}\nended with ${status}:\n${output}${errors}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

# Runs a program that must refuse what it is given, and say why.
function(run_refused expected)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_QUIET ERROR_VARIABLE errors)
  if(status EQUAL 0 OR NOT errors MATCHES "${expected}")
    message(FATAL_ERROR "${ARGN}\nended with ${status} and said, not \"${expected}\":\n${errors}")
  endif()
endfunction()

# Builds examples/NAME, with warnings as errors; sets `program`.
function(build_example name)
  set(prefix ${SCRATCH}/${name}_prefix)
  set(consumer ${SCRATCH}/${name})
  file(REMOVE_RECURSE ${prefix} ${consumer})
  run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix})
  set(flags "-Wall -Wextra -Wconversion -Wshadow -Werror")
  if(SANITIZE)
    # g++ 12 sees uninitialised members in the standard library once it is instrumented.
    string(APPEND flags " -fsanitize=address,undefined -Wno-maybe-uninitialized")
  endif()
  run(${CMAKE_COMMAND} -S ${SOURCE}/examples/${name} -B ${consumer} -G ${GENERATOR}
      -D CMAKE_CXX_COMPILER=${COMPILER} -D CMAKE_PREFIX_PATH=${prefix}
      -D CMAKE_CXX_FLAGS=${flags})
  run(${CMAKE_COMMAND} --build ${consumer})
  set(program ${consumer}/${name} PARENT_SCOPE)
endfunction()

# A number of the output, which the expression's group takes, must be at least, or at most. Sets
# `number`.
function(expect_number expression relation bound)
  if(NOT output MATCHES "${expression}")
    message(FATAL_ERROR "The output does not match ${expression}:\n${output}")
  endif()
  set(number ${CMAKE_MATCH_1})
  if(NOT ${number} ${relation} ${bound})
    message(FATAL_ERROR "${number} of ${expression} is not ${relation} ${bound}:\n${output}")
  endif()
  set(number ${number} PARENT_SCOPE)
endfunction()
