// In place of device_experiment.cpp where there is no nvcc, or cuqat was built without it.
#include "cuqat/error.hpp"
#include "experiment.hpp"

Results run_on_device(const Experiment&, const Digits&) {
  throw cuqat::BackendUnavailable(
      "this program was built without CUDA, which takes nvcc and a cuqat with device functions");
}
