# Flags of the project's own C++ code. They are never passed on to those who link cuqat.
add_library(cuqat_flags INTERFACE)
set(flags
  -Wall -Wextra -Wconversion -Wshadow -Wpedantic
  # Every operation is rounded once: a fused x * s + z is another number.
  -ffp-contract=off
  # g++ 12's straight-line vectoriser drops the rounding in pairs of
  # is_f64 ? x : double(float(x)). Loops are vectorised as before.
  $<$<CXX_COMPILER_ID:GNU>:-fno-tree-slp-vectorize>
  $<$<BOOL:${CUQAT_WERROR}>:-Werror>)
if(CUQAT_SANITIZE)
  list(APPEND flags
    -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all
    -fno-omit-frame-pointer
    # g++ 12 sees uninitialised members in std::regex once it is instrumented.
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(cuqat_flags INTERFACE -fsanitize=address,undefined)
endif()
if(CUQAT_SANITIZE_THREAD)
  list(APPEND flags -fsanitize=thread)
  target_link_options(cuqat_flags INTERFACE -fsanitize=thread)
endif()
target_compile_options(cuqat_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${flags}>")
