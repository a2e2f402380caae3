// Row 17: operations that write an element for each that they read.
#include <string>

#include "inputs.hpp"

namespace {

using namespace cuqat;         // NOLINT(google-build-using-namespace)
using namespace cuqat::bench;  // NOLINT(google-build-using-namespace)

QuantParams params_of(Format format) {
  QuantParams params;
  params.quantizer.format = format;
  params.scale = {0.02};
  return params;
}

std::vector<float>& output() {
  static std::vector<float> kOutput(normal_data().size());
  return kOutput;
}

std::vector<std::uint8_t>& mask() {
  static std::vector<std::uint8_t> kMask(clip_mask_bytes(element_count()));
  return kMask;
}

void add_fake_quantize(Format format, bool with_mask) {
  const QuantParams params = params_of(format);
  const auto n = static_cast<std::size_t>(element_count());
  const std::string name = "17 fake_quantize " + std::string(to_string(format)) + " f32 tensor" +
                           (with_mask ? " with mask" : "");
  const auto check = [params] {
    const auto count = static_cast<std::size_t>(checked_count());
    std::vector<float> expected(count);
    std::vector<float> got(count);
    std::vector<std::uint8_t> expected_mask(clip_mask_bytes(checked_count()));
    std::vector<std::uint8_t> got_mask(expected_mask.size());
    fake_quantize(prefix(normal_data()), params, expected, expected_mask, reference());
    fake_quantize(prefix(normal_data()), params, got, got_mask, fast());
    return std::memcmp(got.data(), expected.data(), count * sizeof(float)) == 0 &&
           got_mask == expected_mask;
  };
  const auto run = [params, with_mask] {
    fake_quantize(normal_data(), params, output(),
                  with_mask ? std::span<std::uint8_t>(mask()) : std::span<std::uint8_t>{}, fast());
  };
  register_row(name, {n * 4, n * 4 + (with_mask ? n / 8 : 0)}, check, run);
}

void add_quantize(Format format, CodeLayout layout) {
  const QuantParams params = params_of(format);
  const auto n = static_cast<std::size_t>(element_count());
  const std::string name = "17 quantize " + std::string(to_string(format)) +
                           (layout == CodeLayout::kNibbles ? " packed" : "") + " f32 tensor";
  const auto check = [params, layout] {
    std::vector<std::uint8_t> expected(codes_bytes(checked_count(), layout));
    std::vector<std::uint8_t> got(expected.size());
    quantize(prefix(normal_data()), params, expected, layout, reference());
    quantize(prefix(normal_data()), params, got, layout, fast());
    return got == expected;
  };
  const std::size_t bytes = codes_bytes(element_count(), layout);
  const auto run = [params, layout, bytes] {
    static std::vector<std::uint8_t> codes(static_cast<std::size_t>(element_count()));
    quantize(normal_data(), params, std::span(codes).first(bytes), layout, fast());
  };
  register_row(name, {n * 4, bytes}, check, run);
}

void add_backward() {
  const QuantParams params = params_of(Format::kInt8);
  const auto n = static_cast<std::size_t>(element_count());
  const auto check = [params] {
    const auto count = static_cast<std::size_t>(checked_count());
    std::vector<float> expected(count);
    std::vector<float> got(count);
    const ConstTensorView x = prefix(normal_data());
    fake_quantize_backward(x, x, params, expected, reference());
    fake_quantize_backward(x, x, params, got, fast());
    return got == expected;
  };
  register_row("17 straight-through int8 f32 tensor", {n * 8, n * 4}, check, [params] {
    static const std::vector<float> gradient = normal_data();
    fake_quantize_backward(gradient, normal_data(), params, output(), fast());
  });
}

void add_backward_from_mask() {
  const auto n = static_cast<std::size_t>(element_count());
  const auto check = [] {
    const auto count = static_cast<std::size_t>(checked_count());
    std::vector<std::uint8_t> clipped(clip_mask_bytes(checked_count()));
    for (std::size_t i = 0; i + 1 < clipped.size(); i += 7) clipped[i] = 0x21;
    std::vector<float> expected(count);
    std::vector<float> got(count);
    fake_quantize_backward(prefix(normal_data()), clipped, expected, reference());
    fake_quantize_backward(prefix(normal_data()), clipped, got, fast());
    return got == expected;
  };
  register_row("17 straight-through from mask f32", {n * 4 + n / 8, n * 4}, check, [] {
    static const std::vector<std::uint8_t> clipped = [] {
      std::vector<std::uint8_t> bits(clip_mask_bytes(element_count()));
      for (std::size_t i = 0; i < bits.size(); i += 1'250) bits[i] = 1;
      return bits;
    }();
    fake_quantize_backward(normal_data(), clipped, output(), fast());
  });
}

const bool kRegistered = [] {
  for (const Format format : {Format::kInt8, Format::kE4M3}) {
    add_fake_quantize(format, false);
    add_fake_quantize(format, true);
    add_quantize(format, CodeLayout::kBytes);
  }
  add_quantize(Format::kInt4, CodeLayout::kNibbles);
  add_backward();
  add_backward_from_mask();
  return true;
}();

}  // namespace
