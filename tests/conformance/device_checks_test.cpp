// Every argument of the device functions below, which work on the caller's memory, is checked: host
// memory, no memory, a wrong number, a wrong alignment, and outputs in the memory of something else
// are refused by the argument's name, before anything is put on the stream.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "conformance/device_arguments.hpp"
#include "conformance/device_functions.hpp"

namespace cuqat::test {
namespace {

class DeviceChecks : public DeviceArguments {
 protected:
  ArgumentMemory memory_;
  std::vector<std::byte> host_ = std::vector<std::byte>(ArgumentMemory::kBytes);
  DeviceCalibrationCollector collector_{DType::kBF16, context()};
  std::vector<Function> functions_ = device_functions(context(), stream(), collector_);
};

TEST_F(DeviceChecks, EveryArgumentOfEveryFunctionIsNamed) {
  for (const Function& function : functions_) {
    for (std::size_t i = 0; i < function.arguments.size(); ++i) {
      const Argument& argument = function.arguments[i];
      SCOPED_TRACE(function.name + ", " + std::string(argument.name));
      const auto refused = [&](void* memory, std::initializer_list<std::string_view> parts) {
        expect_refused([&] { function.call(memory_.values(function).in(i, memory)); }, parts);
      };
      refused(host_.data(), {argument.name, "device memory"});
      refused(nullptr, {argument.name, "null"});
      if (argument.alignment > 1) {
        refused(static_cast<std::byte*>(memory_.of(i)) + 1, {argument.name, "1 bytes past"});
      }
      if (!argument.sets_the_size) {
        for (const std::int64_t added : {-1, 1}) {
          if (argument.is_optional && argument.count + added == 0) continue;
          expect_refused([&] { function.call(memory_.values(function).with_more(i, added)); },
                         {argument.name});
        }
      }
    }
  }
}

TEST_F(DeviceChecks, NoOutputIsInTheMemoryOfSomethingElse) {
  for (const Function& function : functions_) {
    for (std::size_t i = 0; i < function.arguments.size(); ++i) {
      const Argument& written = function.arguments[i];
      if (written.role != Role::kOutput) continue;
      for (std::size_t j = 0; j < function.arguments.size(); ++j) {
        const Argument& other = function.arguments[j];
        if (i == j) continue;
        const bool allowed =
            std::count(written.may_be.begin(), written.may_be.end(), other.name) +
                std::count(other.may_be.begin(), other.may_be.end(), written.name) >
            0;
        if (allowed) continue;
        SCOPED_TRACE(function.name + ", " + std::string(written.name) + " and " +
                     std::string(other.name));
        expect_refused([&] { function.call(memory_.values(function).in(i, memory_.of(j))); },
                       {written.name, other.name});
      }
    }
  }
}

TEST_F(DeviceChecks, WhatFitsIsTakenByAll) {
  for (const Function& function : functions_) {
    SCOPED_TRACE(function.name);
    EXPECT_NO_THROW(function.call(memory_.values(function)));
    ASSERT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess) << device_fault();
  }
}

/// No copies, memsets, allocations or waits.
TEST_F(DeviceChecks, NothingBesideKernelsIsPutOnTheStream) {
  for (const Function& function : functions_) {
    // A batch owns memory, which it copies to and frees. Selection clears its tables by memsets:
    // DevicePercentileArguments.SelectionIsAFewKernels.
    if (function.name == "FakeQuantizeBatch" || function.name == "percentile_ranges") continue;
    SCOPED_TRACE(function.name);
    function.call(memory_.values(function));  // the first product allocates
    const Enqueued enqueued = enqueued_by([&] { function.call(memory_.values(function)); });
    EXPECT_GE(enqueued.kernels, 1);
    EXPECT_EQ(enqueued.others, 0);
    ASSERT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess) << device_fault();
  }
}

}  // namespace
}  // namespace cuqat::test
