// Row 18: exact percentiles. The copy of a row is one plain read of the tensor.
#include <memory>
#include <string>

#include "inputs.hpp"

namespace {

using namespace cuqat;         // NOLINT(google-build-using-namespace)
using namespace cuqat::bench;  // NOLINT(google-build-using-namespace)

std::vector<double> select(ConstTensorView x, const std::vector<double>& percentiles,
                           const HostOptions& options) {
  std::vector<std::int64_t> ranks;
  for (const double p : percentiles) ranks.push_back(percentile_rank(x.count(), p));
  return order_statistics(std::span<const ConstTensorView>(&x, 1), OrderBy::kMagnitude, ranks,
                          options);
}

template <typename T>
void add_percentiles(const std::string& name, const std::shared_ptr<std::vector<T>>& data,
                     void (*fill)(std::vector<T>&), const std::vector<double>& percentiles) {
  const auto check = [=] {
    if (data->empty()) fill(*data);
    return select(prefix(*data), percentiles, fast()) ==
           select(prefix(*data), percentiles, reference());
  };
  register_row("18 percentile " + name, {static_cast<std::size_t>(element_count()) * sizeof(T), 0},
               check, [=] { benchmark::DoNotOptimize(select(*data, percentiles, fast())); });
}

const bool kRegistered = [] {
  const std::vector<double> five{90.0, 99.0, 99.9, 99.99, 99.999};
  const auto f32 = std::make_shared<std::vector<float>>();
  const auto bf16 = std::make_shared<std::vector<bfloat16>>();
  const auto fill_f32 = [](std::vector<float>& data) { data = normal_data(); };
  const auto fill_bf16 = [](std::vector<bfloat16>& data) { data = to_bfloat16(normal_data()); };
  add_percentiles<float>("f32 99.99", f32, fill_f32, {99.99});
  add_percentiles<float>("f32 five at once", f32, fill_f32, five);
  add_percentiles<bfloat16>("bf16 five at once", bf16, fill_bf16, five);
  return true;
}();

}  // namespace
