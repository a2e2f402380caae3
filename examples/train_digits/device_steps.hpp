// What a training step is made of besides the layers, each one kernel on a stream. They read from
// device memory which step it is, so that a CUDA graph of a step does the next one at each launch.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "adam.hpp"

namespace on_device {

struct Rates {
  double values;  // Of weights and biases.
  double scales;
  AdamCorrection correction;
};

/// A training, in device memory.
struct Plan {
  const std::int64_t* order;  // The images of all steps, `batch` each.
  const Rates* rates;         // Of each step.
  std::int64_t batch;
  std::int64_t* step;    // Which it is.
  double* image_losses;  // Of the step's images.
  double* loss;          // Sum of the steps' means.
};

/// The pixels of the step's images, `columns` each.
void take_images(const Plan& plan, const float* pixels, std::int64_t columns, float* batch,
                 cudaStream_t stream);

void relu(float* values, std::int64_t count, cudaStream_t stream);

/// dx is 0 where ReLU's output y is.
void relu_backward(const float* y, float* dx, std::int64_t count, cudaStream_t stream);

/// The losses of the step's images, and the gradient of their mean.
void cross_entropy(const Plan& plan, const float* scores, const int* digits, float* dscores,
                   cudaStream_t stream);

void column_sums(const float* values, std::int64_t rows, std::int64_t columns, float* sums,
                 cudaStream_t stream);

void adam_step(const Plan& plan, float* values, const float* gradient, AdamState* states,
               std::int64_t count, cudaStream_t stream);

void adam_step_scales(const Plan& plan, float* scales, const float* gradient, AdamState* states,
                      std::int64_t count, cudaStream_t stream);

/// Adds the step's mean loss to plan.loss, and begins the next step.
void end_step(const Plan& plan, cudaStream_t stream);

/// Adds to `right` the number of images whose highest score is that of their digit.
void count_right(const float* scores, const int* digits, std::int64_t images,
                 unsigned long long* right, cudaStream_t stream);

}  // namespace on_device
