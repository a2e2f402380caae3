// What each command was asked to do.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cuqat/calibration.hpp"

namespace cuqat::cli {

/// Where operations run.
struct HostSettings {
  std::string backend = "auto";
  int num_threads = 0;  ///< 0: as many as the machine has.
};

/// Which tensors of which files.
struct InputSettings {
  std::vector<std::string> files;
  std::optional<std::string> match;        ///< Regular expression for names.
  std::optional<DType> untyped_npy_dtype;  ///< Of .npy files that name no type.
};

struct CalibrateSettings {
  InputSettings input;
  std::vector<std::string> states;  ///< Instead of input.files.
  HostSettings host;
  std::vector<CalibrationOptions> methods;  ///< In the order of the answer; all of one format.
  std::optional<Granularity> granularity;   ///< Absent: a whole tensor, or what the states have.
  std::optional<std::string> json_path;
  std::optional<std::string> state_path;
  std::optional<std::string> html_path;
  std::optional<double> min_sqnr_db;
  bool quiet = false;
};

struct MergeSettings {
  std::vector<std::string> states;
  std::string output_path;
};

struct QuantizeSettings {
  InputSettings input;  ///< One file.
  HostSettings host;
  std::string params_path;
  std::optional<std::string> method;
  std::string output_path;
};

struct DequantizeSettings {
  std::string path;
  HostSettings host;
  std::string output_path;
};

struct InspectSettings {
  InputSettings input;
  HostSettings host;
};

}  // namespace cuqat::cli
