// What quantizing the inputs of linear layers costs in their outputs, for every method, format and
// granularity: the table of docs/calibration.md.
//
// Usage: layer_error ACTIVATIONS WEIGHTS   two safetensors files; for each NAME.weight of the
// second that has a NAME.input in the first, of one dtype
#include <cuqat/cuqat.hpp>

#include <cmath>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "io/safetensors.hpp"

namespace {

using namespace cuqat;  // NOLINT(google-build-using-namespace)

/// A quantized copy of a tensor.
class Quantized {
 public:
  explicit Quantized(ConstTensorView x)
      : bytes_(x.size_bytes()), view_(bytes_.data(), x.dtype(), x.shape()) {}
  [[nodiscard]] TensorView view() const { return view_; }

 private:
  std::vector<std::byte> bytes_;
  TensorView view_;
};

Quantized calibrated(ConstTensorView x, const CalibrationOptions& method,
                     const Granularity& granularity) {
  Quantized result(x);
  const CalibrationResult found = calibrate_layer(std::span(&x, 1), method, granularity);
  fake_quantize(x, found.params, result.view());
  return result;
}

Quantized dynamic(ConstTensorView x, Format format, bool symmetric,
                  const Granularity& granularity) {
  Quantized result(x);
  DynamicQuantization how;
  how.quantizer.format = format;
  how.quantizer.narrow_range = symmetric && is_integer(format);
  how.granularity = granularity;
  how.symmetric = symmetric;
  fake_quantize_dynamic(x, how, result.view());
  return result;
}

/// A way to quantize a layer: the relative squared error of its outputs.
struct Way {
  std::string name;
  std::function<double(ConstTensorView x, ConstTensorView w)> error;
};

/// Weights have a scale for each output, by min-max, in the activations' format; int4 activations
/// meet int8 weights.
Format weight_format(Format format) { return format == Format::kInt4 ? Format::kInt8 : format; }

Way way(std::string name, Format format, std::function<Quantized(ConstTensorView)> quantize) {
  return {std::move(name), [=](ConstTensorView x, ConstTensorView w) {
            const Quantized xq = quantize(x);
            const Quantized wq =
                calibrated(w, {.format = weight_format(format)}, Granularity::channel(0));
            return output_error(x, w, xq.view(), wq.view());
          }};
}

Way by_method(std::string name, const CalibrationOptions& method) {
  return way(std::move(name), method.format,
             [=](ConstTensorView x) { return calibrated(x, method, Granularity::tensor()); });
}

Way by_rows(std::string name, Format format, bool symmetric, const Granularity& granularity) {
  return way(std::move(name), format,
             [=](ConstTensorView x) { return dynamic(x, format, symmetric, granularity); });
}

Way equalized(std::string name, const CalibrationOptions& method) {
  return {std::move(name), [=](ConstTensorView x, ConstTensorView w) {
            EqualizationOptions options;
            options.activation = method;
            options.weight.format = weight_format(method.format);
            return find_equalization(x, w, options).output_error;
          }};
}

std::vector<Way> all_ways() {
  constexpr std::int64_t kRow = std::int64_t{1} << 40;  // a group as long as any row
  std::vector<Way> ways;
  for (const Format format : {Format::kInt8, Format::kInt4, Format::kE4M3, Format::kE5M2}) {
    const std::string of(to_string(format));
    for (const bool symmetric : {true, false}) {
      if (!symmetric && !is_integer(format)) continue;
      const std::string kind = is_integer(format) ? symmetric ? " symmetric" : " affine" : "";
      const auto add = [&](const std::string& name, CalibrationOptions method) {
        method.format = format;
        method.symmetric = symmetric;
        ways.push_back(by_method(of + kind + " " + name, method));
      };
      add("min-max", {});
      add("percentile 99.9", {.method = CalibMethod::kPercentile, .percentile = 99.9});
      add("percentile 99.99", {.method = CalibMethod::kPercentile});
      add("entropy (modelopt)", {.method = CalibMethod::kEntropy});
      add("entropy (ONNX Runtime)",
          {.method = CalibMethod::kEntropy, .dialect = EntropyDialect::kOnnxRuntime});
      add("mse", {.method = CalibMethod::kMse});
      add("sqnr", {.method = CalibMethod::kSqnr});
      ways.push_back(
          equalized(of + kind + " equalized, mse",
                    {.method = CalibMethod::kMse, .format = format, .symmetric = symmetric}));
      ways.push_back(
          by_rows(of + kind + " dynamic per token", format, symmetric, Granularity::group(kRow)));
      if (format == Format::kInt4) {
        ways.push_back(by_rows(of + kind + " dynamic per group of 128", format, symmetric,
                               Granularity::group(128)));
        ways.push_back(by_rows(of + kind + " dynamic per group of 32", format, symmetric,
                               Granularity::group(32)));
      }
    }
  }
  return ways;
}

struct Layer {
  std::string name;
  ConstTensorView x;
  ConstTensorView w;
};

std::vector<Layer> layers_of(const io::SafetensorsFile& activations,
                             const io::SafetensorsFile& weights) {
  const std::string input = ".input";
  const std::string weight = ".weight";
  std::vector<Layer> layers;
  for (const io::TensorEntry& entry : weights.tensors()) {
    if (!entry.name.ends_with(weight)) continue;
    const std::string name = entry.name.substr(0, entry.name.size() - weight.size());
    const io::TensorEntry* const x = activations.find(name + input);
    if (x == nullptr) continue;
    const auto w_view = weights.view(entry);
    const auto x_view = activations.view(*x);
    if (w_view && x_view && w_view->dtype() == x_view->dtype()) {
      layers.push_back({name, *x_view, *w_view});
    }
  }
  return layers;
}

/// Output SQNR in dB; one row for each way, one column for each layer.
void print_table(const std::vector<Layer>& layers) {
  std::string head = "| inputs |";
  std::string rule = "|---|";
  for (const Layer& layer : layers) {
    // The part of the name that tells layers apart.
    const std::size_t layer_at = layer.name.find("layer.");
    head += ' ';
    head += layer_at == std::string::npos ? layer.name : layer.name.substr(layer_at + 6);
    head += " |";
    rule += "---|";
  }
  std::printf("%s\n%s\n", head.c_str(), rule.c_str());
  for (const Way& one : all_ways()) {
    std::printf("| %s |", one.name.c_str());
    for (const Layer& layer : layers) {
      std::printf(" %.1f |", -10.0 * std::log10(one.error(layer.x, layer.w)));
      std::fflush(stdout);
    }
    std::printf("\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: layer_error ACTIVATIONS WEIGHTS\n");
    return 2;
  }
  try {
    const auto activations = io::SafetensorsFile::open(argv[1]);
    const auto weights = io::SafetensorsFile::open(argv[2]);
    const std::vector<Layer> layers = layers_of(activations, weights);
    if (layers.empty()) {
      std::fprintf(stderr, "layer_error: no NAME.weight has a NAME.input of its dtype\n");
      return 3;
    }
    print_table(layers);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "layer_error: %s\n", error.what());
    return 1;
  }
}
