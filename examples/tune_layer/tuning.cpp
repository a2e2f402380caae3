#include "tuning.hpp"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <utility>
#include <vector>

#include "cuqat/calibration.hpp"
#include "cuqat/fake_quant.hpp"
#include "optimizer.hpp"

namespace {

using cuqat::CalibMethod;
using cuqat::HostOptions;
using cuqat::QatLayer;

constexpr std::array<CalibMethod, 2> kMethods = {CalibMethod::kMinMax, CalibMethod::kMse};

/// A scale for each output of the weights, symmetric; one for the inputs, affine where it can be.
cuqat::QatLayerConfig config_of(const Tuning& tuning) {
  cuqat::QatLayerConfig config;
  config.weight.format = tuning.weight;
  config.activation.format = tuning.input;
  config.activation.symmetric = !cuqat::is_integer(tuning.input);
  config.learn_weight_scale = true;
  config.learn_activation_scale = true;
  return config;
}

QatLayer copy_of(const LinearLayer& layer, const cuqat::QatLayerConfig& config) {
  QatLayer copy(layer.weight.columns, layer.weight.rows, config);
  std::memcpy(copy.change_weight().data(), layer.weight.values.data(), copy.weight().size_bytes());
  std::memcpy(copy.change_bias().data(), layer.bias.data(), copy.bias().size_bytes());
  return copy;
}

/// The answers of all methods.
std::vector<cuqat::CalibrationResult> calibrate(const Matrix& matrix,
                                                const cuqat::Granularity& granularity,
                                                cuqat::CalibrationOptions options,
                                                const HostOptions& host) {
  std::vector<cuqat::CalibrationOptions> asked;
  for (const CalibMethod method : kMethods) {
    options.method = method;
    asked.push_back(options);
  }
  const cuqat::ConstTensorView tensor = matrix.view();
  return cuqat::calibrate({&tensor, 1}, granularity, asked, host);
}

double sum_of_squares(std::span<const float> values) {
  double sum = 0.0;
  for (const float value : values) sum += double{value} * value;
  return sum;
}

/// y - x, elsewhere.
std::vector<float> difference(std::span<const float> y, std::span<const float> x) {
  std::vector<float> result(y.begin(), y.end());
  for (std::size_t i = 0; i < result.size(); ++i) result[i] -= x[i];
  return result;
}

double error_of(QatLayer& layer, const Tokens& tokens, const HostOptions& host) {
  Matrix output;
  output.resize(tokens.output.rows, tokens.output.columns);
  layer.forward_infer(tokens.input.view(), output.view(), host);
  return sum_of_squares(difference(output.values, tokens.output.values)) /
         sum_of_squares(tokens.output.values);
}

std::span<float> floats(cuqat::TensorView view) {
  return {static_cast<float*>(view.data()), static_cast<std::size_t>(view.count())};
}

std::span<const float> floats(cuqat::ConstTensorView view) {
  return {static_cast<const float*>(view.data()), static_cast<std::size_t>(view.count())};
}

class Trainer {
 public:
  Trainer(QatLayer& layer, const Tokens& tokens, const Tuning& tuning, const HostOptions& host);

  /// share falls from 1 to 0.
  void step(double share);

 private:
  void compute_gradients();
  cuqat::QuantParams step_scales(double rate);
  void step_weights(const cuqat::QuantParams& params, double rate, float settling);
  void round_weights(const cuqat::QuantParams& params);

  QatLayer& layer_;
  const Tokens& tokens_;
  const Tuning& tuning_;
  const HostOptions& host_;
  QatLayer::Saved saved_;
  Matrix output_;
  Matrix doutput_;
  std::vector<float> rounded_;  // The weights, fake-quantized.
  double code_step_;
  std::vector<float> dweight_;
  std::vector<double> dweight_scale_;
  std::vector<double> dinput_scale_ = {0.0};
  Adam weight_;
  Adam weight_scale_;
  Adam input_scale_;
};

Trainer::Trainer(QatLayer& layer, const Tokens& tokens, const Tuning& tuning,
                 const HostOptions& host)
    : layer_(layer),
      tokens_(tokens),
      tuning_(tuning),
      host_(host),
      rounded_(floats(layer.weight()).size()),
      dweight_(rounded_.size()),
      dweight_scale_(static_cast<std::size_t>(layer.out_features())) {
  output_.resize(tokens.output.rows, tokens.output.columns);
  doutput_.resize(tokens.output.rows, tokens.output.columns);
  // Rounding to codes a step apart has the error step^2 / 12; E4M3's steps differ, this is typical.
  round_weights(layer.weight_params(host));
  const double error = sum_of_squares(difference(rounded_, floats(std::as_const(layer).weight())));
  code_step_ = std::sqrt(12.0 * error / static_cast<double>(rounded_.size()));
}

void Trainer::round_weights(const cuqat::QuantParams& params) {
  cuqat::fake_quantize(layer_.weight(), params,
                       cuqat::TensorView(rounded_.data(), layer_.weight().shape()), {}, host_);
}

/// Of half the squared error; Adam takes any multiple of a gradient alike.
void Trainer::compute_gradients() {
  layer_.forward_train(tokens_.input.view(), output_.view(), saved_, host_);
  doutput_.values = difference(output_.values, tokens_.output.values);
  cuqat::QatGradients gradients;
  gradients.dweight = {dweight_.data(), layer_.weight().shape()};
  gradients.weight.dscale = dweight_scale_;
  gradients.activation.dscale = dinput_scale_;
  layer_.backward(std::as_const(doutput_).view(), saved_, gradients, host_);
}

/// Returns the weights' new scales. A scale takes its weights along, so that their codes stay: what
/// it then changes is the output alone. cuqat's gradient (LSQ's) is that of a scale whose weights
/// stay: but for a factor it is the sum of dy (code - w / scale). Where single inputs are large
/// that one asks for finer codes in every step, until most weights are clipped.
cuqat::QuantParams Trainer::step_scales(double rate) {
  cuqat::QuantParams params = layer_.weight_params(host_);
  const std::vector<double> old_scale = params.scale;
  const std::span<const float> old_weight = floats(std::as_const(layer_).weight());
  const auto columns = static_cast<std::size_t>(layer_.in_features());
  const double factor =
      1.0 / std::sqrt(static_cast<double>(columns) * cuqat::qmax(params.quantizer));
  for (std::size_t row = 0; row < old_scale.size(); ++row) {
    double along = 0.0;
    for (std::size_t i = row * columns; i < (row + 1) * columns; ++i) {
      along += double{dweight_[i]} * old_weight[i];
    }
    dweight_scale_[row] = dweight_scale_[row] / factor + along / old_scale[row];
  }
  weight_scale_.step_scales(params.scale, dweight_scale_, rate);
  layer_.set_weight_params(params);
  const std::span<float> weight = floats(layer_.change_weight());
  for (std::size_t i = 0; i < weight.size(); ++i) {
    weight[i] *= static_cast<float>(params.scale[i / columns] / old_scale[i / columns]);
  }

  cuqat::QuantParams of_input = layer_.activation_params();
  input_scale_.step_scales(of_input.scale, dinput_scale_, rate);
  layer_.set_activation_params(of_input);
  return params;
}

/// Weights gather at the border between two codes and would cross it in every step, so that chance
/// chose the last one. Towards the end they are drawn to the code that they have.
void Trainer::step_weights(const cuqat::QuantParams& params, double rate, float settling) {
  const std::span<float> weight = floats(layer_.change_weight());
  weight_.step(weight, dweight_, rate);
  round_weights(params);
  for (std::size_t i = 0; i < weight.size(); ++i) {
    weight[i] += settling * (rounded_[i] - weight[i]);
  }
}

void Trainer::step(double share) {
  compute_gradients();
  const cuqat::QuantParams params = step_scales(tuning_.scale_rate * share);
  step_weights(params, tuning_.weight_rate * code_step_ * share,
               static_cast<float>(tuning_.settling * (1.0 - share)));
}

/// Training starts from the calibration that is best on its own tokens. What it is compared with is
/// the best on the held-out ones.
void calibrate(QatLayer& layer, const LinearLayer& wanted, const HostOptions& host, Tuned& result) {
  const cuqat::QatLayerConfig& config = layer.config();
  const auto weights = calibrate(wanted.weight, config.weight_granularity, config.weight, host);
  const auto inputs =
      calibrate(wanted.train.input, cuqat::Granularity::tensor(), config.activation, host);
  std::pair best = {&weights[0].params, &inputs[0].params};
  double least = std::numeric_limits<double>::infinity();
  result.before = least;
  for (const cuqat::CalibrationResult& weight : weights) {
    for (const cuqat::CalibrationResult& input : inputs) {
      layer.set_weight_params(weight.params);
      layer.set_activation_params(input.params);
      const double held_out = error_of(layer, wanted.held_out, host);
      if (held_out < result.before) {
        result.before = held_out;
        result.calibration = std::string(to_string(weight.options.method)) + ", ";
        result.calibration += to_string(input.options.method);
      }
      const double train = error_of(layer, wanted.train, host);
      if (train < least) {
        least = train;
        best = {&weight.params, &input.params};
      }
    }
  }
  layer.set_weight_params(*best.first);
  layer.set_activation_params(*best.second);
}

}  // namespace

Tuned tune(const LinearLayer& layer, const Tuning& tuning, const HostOptions& host,
           const std::function<void(int step)>& after_step) {
  Tuned result;
  QatLayer quantized = copy_of(layer, config_of(tuning));
  calibrate(quantized, layer, host, result);
  Trainer trainer(quantized, layer.train, tuning, host);
  for (int step = 0; step < tuning.steps; ++step) {
    trainer.step(0.5 * (1.0 + std::cos(std::numbers::pi * step / tuning.steps)));
    after_step(step + 1);
  }
  result.after = error_of(quantized, layer.held_out, host);
  return result;
}
