// The memory of one run: inputs that must not change, outputs between guard zones.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "conformance/operations.hpp"
#include "support/guarded_buffer.hpp"

namespace cuqat::test {

class Workspace {
 public:
  explicit Workspace(const Placement& placement) : placement_(placement) {}

  const std::byte* input(std::span<const std::byte> content) {
    inputs_.push_back({GuardedBuffer(content, placement_.input_offset), content});
    return inputs_.back().buffer.data();
  }
  std::byte* output(std::string name, std::size_t bytes) {
    outputs_.push_back(
        {std::move(name), GuardedBuffer(bytes, placement_.output_offset, placement_.fill)});
    return outputs_.back().buffer.data();
  }
  /// An output that holds `content` before, as an operation in place has it.
  std::byte* output(std::string name, std::span<const std::byte> content) {
    outputs_.push_back({std::move(name), GuardedBuffer(content, placement_.output_offset)});
    return outputs_.back().buffer.data();
  }
  /// Results of a typed array, which is aligned as its type asks.
  template <typename T>
  void result(std::string name, const std::vector<T>& values) {
    static_assert(std::has_unique_object_representations_v<T> || std::is_same_v<T, double>);
    results_.push_back({std::move(name), bytes_of(values)});
  }
  void result(std::string name, Bytes content) {
    results_.push_back({std::move(name), std::move(content)});
  }

  Outputs finish() {
    for (const Input& input : inputs_) {
      EXPECT_TRUE(input.buffer.holds(input.content)) << "an input was written";
      EXPECT_TRUE(input.buffer.guards_intact()) << "memory beside an input was written";
    }
    Outputs all = std::move(results_);
    for (Named& output : outputs_) {
      EXPECT_TRUE(output.buffer.guards_intact())
          << "memory beside " << output.name << " was written";
      all.push_back({output.name, output.buffer.content()});
    }
    return all;
  }

 private:
  struct Input {
    GuardedBuffer buffer;
    std::span<const std::byte> content;
  };
  struct Named {
    std::string name;
    GuardedBuffer buffer;
  };

  Placement placement_;
  std::deque<Input> inputs_;
  std::deque<Named> outputs_;
  Outputs results_;
};

}  // namespace cuqat::test
