// What is made of an image's scores, on the host and on a GPU.
#pragma once

#include <cmath>

#include "cuqat/host_device.hpp"
#include "digits.hpp"

/// The digit of the highest score; of several the first.
CUQAT_HD int answer_of(const float* scores) {
  int answer = 0;
  for (int i = 1; i < kClasses; ++i) {
    if (scores[i] > scores[answer]) answer = i;
  }
  return answer;
}

/// The cross-entropy of softmax(scores), and its gradient as one of `rows` that the mean is of.
CUQAT_HD double cross_entropy(const float* scores, int digit, double rows, float* gradient) {
  const double highest = scores[answer_of(scores)];
  double sum = 0.0;
  for (int i = 0; i < kClasses; ++i) sum += std::exp(scores[i] - highest);
  for (int i = 0; i < kClasses; ++i) {
    const double probability = std::exp(scores[i] - highest) / sum;
    gradient[i] = static_cast<float>((probability - (i == digit ? 1.0 : 0.0)) / rows);
  }
  return std::log(sum) - (scores[digit] - highest);
}
