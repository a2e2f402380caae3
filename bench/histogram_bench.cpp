// Row 18: histograms. The copy of a row is a plain read of the tensor.
#include <array>
#include <functional>
#include <memory>
#include <string>

#include "inputs.hpp"

namespace {

using namespace cuqat;         // NOLINT(google-build-using-namespace)
using namespace cuqat::bench;  // NOLINT(google-build-using-namespace)

using KeyCounts = std::array<std::uint64_t, kNumKeys>;

/// Data is made when the row runs.
template <typename T>
using Source = std::function<std::vector<T>()>;

template <typename T>
void add_key_histogram(const std::string& name, const Source<T>& source) {
  const auto data = std::make_shared<std::vector<T>>();
  const auto check = [data, source] {
    if (data->empty()) *data = source();
    const auto expected = std::make_unique<KeyCounts>();
    const auto got = std::make_unique<KeyCounts>();
    accumulate_key_histogram(prefix(*data), *expected, reference());
    accumulate_key_histogram(prefix(*data), *got, fast());
    return *got == *expected;
  };
  const auto run = [data] {
    static KeyCounts counts;
    accumulate_key_histogram(*data, counts, fast());
  };
  register_row("18 key histogram " + name,
               {static_cast<std::size_t>(element_count()) * sizeof(T), 0}, check, run);
}

void add_linear_histogram() {
  constexpr std::size_t kBins = 2048;
  const auto check = [] {
    std::vector<std::uint64_t> expected(kBins);
    std::vector<std::uint64_t> got(kBins);
    accumulate_linear_histogram(prefix(normal_data()), 5.5, BinRange::kMagnitude, expected,
                                reference());
    accumulate_linear_histogram(prefix(normal_data()), 5.5, BinRange::kMagnitude, got, fast());
    return got == expected;
  };
  register_row("18 linear histogram f32 normal",
               {static_cast<std::size_t>(element_count()) * sizeof(float), 0}, check, [] {
                 static std::vector<std::uint64_t> counts(kBins);
                 accumulate_linear_histogram(normal_data(), 5.5, BinRange::kMagnitude, counts,
                                             fast());
               });
}

std::vector<float> relu_data() {
  std::vector<float> data = normal_data();
  for (float& value : data) value = std::max(value, 0.0f);
  return data;
}

std::vector<float> constant_data() {
  return std::vector<float>(static_cast<std::size_t>(element_count()), 1.5f);
}

const bool kRegistered = [] {
  add_key_histogram<float>("f32 normal", normal_data);
  add_key_histogram<float>("f32 relu", relu_data);
  add_key_histogram<float>("f32 constant", constant_data);
  add_key_histogram<bfloat16>("bf16 normal", [] { return to_bfloat16(normal_data()); });
  add_key_histogram<bfloat16>("bf16 relu", [] { return to_bfloat16(relu_data()); });
  add_key_histogram<bfloat16>("bf16 constant", [] { return to_bfloat16(constant_data()); });
  add_linear_histogram();
  return true;
}();

}  // namespace
