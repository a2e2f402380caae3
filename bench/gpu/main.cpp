// The rows on a GPU. Without one nothing is measured, which is said loudly and by an exit status
// of 77.
#include <benchmark/benchmark.h>
#include <cuqat/device_context.hpp>
#include <cuqat/error.hpp>

#include <iostream>

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  try {
    const cuqat::DeviceContext probe;
  } catch (const cuqat::BackendUnavailable& error) {
    std::cout << "SKIPPED, NOTHING WAS MEASURED: " << error.what() << '\n';
    return 77;
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
