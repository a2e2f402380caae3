// One thread makes one number, or one image's; all are small, and bound by the launches.
#include "device_steps.hpp"

#include "device_memory.hpp"
#include "scores.hpp"

namespace on_device {
namespace {

constexpr std::int64_t kBlockThreads = 128;

/// Puts a kernel on the stream with `count` threads or some more, and count as its first argument.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(std::int64_t, Parameters...), std::int64_t count, cudaStream_t stream,
            const Arguments&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>((count + kBlockThreads - 1) / kBlockThreads));
  config.blockDim = dim3(static_cast<unsigned>(kBlockThreads));
  config.stream = stream;
  check(cudaLaunchKernelEx(&config, kernel, count, arguments...));
}

__device__ std::int64_t thread_index() {
  return std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
}

/// The i-th of the step's images.
__device__ std::int64_t image_of(const Plan& plan, std::int64_t i) {
  return plan.order[*plan.step * plan.batch + i];
}

__global__ void take_images_kernel(std::int64_t count, Plan plan, const float* pixels,
                                   std::int64_t columns, float* batch) {
  const std::int64_t i = thread_index();
  if (i >= count) return;
  batch[i] = pixels[image_of(plan, i / columns) * columns + i % columns];
}

__global__ void relu_kernel(std::int64_t count, float* values) {
  const std::int64_t i = thread_index();
  if (i < count && values[i] < 0.0f) values[i] = 0.0f;
}

__global__ void relu_backward_kernel(std::int64_t count, const float* y, float* dx) {
  const std::int64_t i = thread_index();
  if (i < count && y[i] == 0.0f) dx[i] = 0.0f;
}

__global__ void cross_entropy_kernel(std::int64_t count, Plan plan, const float* scores,
                                     const int* digits, float* dscores) {
  const std::int64_t i = thread_index();
  if (i >= count) return;
  plan.image_losses[i] = ::cross_entropy(scores + i * kClasses, digits[image_of(plan, i)],
                                         static_cast<double>(plan.batch), dscores + i * kClasses);
}

__global__ void column_sums_kernel(std::int64_t count, const float* values, std::int64_t rows,
                                   float* sums) {
  const std::int64_t column = thread_index();
  if (column >= count) return;
  float sum = 0.0f;
  for (std::int64_t row = 0; row < rows; ++row) sum += values[row * count + column];
  sums[column] = sum;
}

__global__ void adam_step_kernel(std::int64_t count, Plan plan, float* values,
                                 const float* gradient, AdamState* states) {
  const std::int64_t i = thread_index();
  if (i >= count) return;
  const Rates& rates = plan.rates[*plan.step];
  values[i] =
      ::adam_step(values[i], double{gradient[i]}, rates.values, states[i], rates.correction);
}

__global__ void adam_step_scales_kernel(std::int64_t count, Plan plan, float* scales,
                                        const float* gradient, AdamState* states) {
  const std::int64_t i = thread_index();
  if (i >= count) return;
  const Rates& rates = plan.rates[*plan.step];
  scales[i] = static_cast<float>(adam_step_scale(double{scales[i]}, double{gradient[i]},
                                                 rates.scales, states[i], rates.correction));
}

/// One thread, so that the losses are summed in one order.
__global__ void end_step_kernel(std::int64_t count, Plan plan) {
  if (thread_index() >= count) return;
  double sum = 0.0;
  for (std::int64_t i = 0; i < plan.batch; ++i) sum += plan.image_losses[i];
  *plan.loss += sum / static_cast<double>(plan.batch);
  ++*plan.step;
}

__global__ void count_right_kernel(std::int64_t count, const float* scores, const int* digits,
                                   unsigned long long* right) {
  const std::int64_t i = thread_index();
  if (i < count && answer_of(scores + i * kClasses) == digits[i]) atomicAdd(right, 1ull);
}

}  // namespace

void take_images(const Plan& plan, const float* pixels, std::int64_t columns, float* batch,
                 cudaStream_t stream) {
  launch(take_images_kernel, plan.batch * columns, stream, plan, pixels, columns, batch);
}

void relu(float* values, std::int64_t count, cudaStream_t stream) {
  launch(relu_kernel, count, stream, values);
}

void relu_backward(const float* y, float* dx, std::int64_t count, cudaStream_t stream) {
  launch(relu_backward_kernel, count, stream, y, dx);
}

void cross_entropy(const Plan& plan, const float* scores, const int* digits, float* dscores,
                   cudaStream_t stream) {
  launch(cross_entropy_kernel, plan.batch, stream, plan, scores, digits, dscores);
}

void column_sums(const float* values, std::int64_t rows, std::int64_t columns, float* sums,
                 cudaStream_t stream) {
  launch(column_sums_kernel, columns, stream, values, rows, sums);
}

void adam_step(const Plan& plan, float* values, const float* gradient, AdamState* states,
               std::int64_t count, cudaStream_t stream) {
  launch(adam_step_kernel, count, stream, plan, values, gradient, states);
}

void adam_step_scales(const Plan& plan, float* scales, const float* gradient, AdamState* states,
                      std::int64_t count, cudaStream_t stream) {
  launch(adam_step_scales_kernel, count, stream, plan, scales, gradient, states);
}

void end_step(const Plan& plan, cudaStream_t stream) { launch(end_step_kernel, 1, stream, plan); }

void count_right(const float* scores, const int* digits, std::int64_t images,
                 unsigned long long* right, cudaStream_t stream) {
  launch(count_right_kernel, images, stream, scores, digits, right);
}

}  // namespace on_device
