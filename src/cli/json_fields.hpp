// Checked access to the fields of a JSON object from outside.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "io/error.hpp"

namespace cuqat::cli {

/// An object, and where it stands in a file for messages. Both must outlive it.
class JsonFields {
 public:
  JsonFields(const nlohmann::json& object, std::string file, std::string place)
      : object_(object), file_(std::move(file)), place_(std::move(place)) {
    if (!object.is_object()) fail(fmt::format("is {}; it must be an object", object.type_name()));
  }

  [[noreturn]] void fail(const std::string& problem) const {
    throw io::FileError(file_, place_.empty() ? problem : place_ + ": " + problem);
  }

  [[nodiscard]] const nlohmann::json& value(std::string_view key) const {
    const auto found = object_.find(std::string(key));
    if (found == object_.end()) fail(fmt::format("\"{}\" is missing", key));
    return *found;
  }
  [[nodiscard]] const std::string& text(std::string_view key) const {
    return *checked(key, "a string", value(key).get_ptr<const std::string*>());
  }
  [[nodiscard]] bool boolean(std::string_view key) const {
    return *checked(key, "true or false", value(key).get_ptr<const bool*>());
  }
  [[nodiscard]] double number(std::string_view key) const {
    const nlohmann::json& field = value(key);
    if (!field.is_number()) fail(wrong_type(key, "a number", field));
    return field.get<double>();
  }
  [[nodiscard]] const nlohmann::json& array(std::string_view key) const {
    const nlohmann::json& field = value(key);
    if (!field.is_array()) fail(wrong_type(key, "an array", field));
    return field;
  }
  [[nodiscard]] std::vector<double> numbers(std::string_view key) const {
    std::vector<double> result;
    for (const nlohmann::json& entry : array(key)) {
      if (!entry.is_number()) fail(wrong_type(key, "an array of numbers", entry));
      result.push_back(entry.get<double>());
    }
    return result;
  }
  /// Whole numbers in [low, high].
  [[nodiscard]] std::vector<std::int64_t> integers(std::string_view key, std::int64_t low,
                                                   std::int64_t high) const {
    std::vector<std::int64_t> result;
    for (const nlohmann::json& entry : array(key)) {
      // A number past 2^63 is unsigned, and would wrap.
      const bool fits = entry.is_number_integer() &&
                        (!entry.is_number_unsigned() ||
                         entry.get<std::uint64_t>() <= static_cast<std::uint64_t>(high));
      if (!fits || entry.get<std::int64_t>() < low || entry.get<std::int64_t>() > high) {
        fail(fmt::format("\"{}\" holds {}; its entries must be whole numbers in [{}, {}]", key,
                         io::in_quotes(entry.dump()), low, high));
      }
      result.push_back(entry.get<std::int64_t>());
    }
    return result;
  }
  /// A word that `parse` knows; `expected` lists them.
  template <typename Parse>
  [[nodiscard]] auto word(std::string_view key, Parse parse, std::string_view expected) const {
    const auto parsed = parse(text(key));
    if (!parsed) {
      fail(fmt::format("\"{}\" is {}; it must be {}", key, io::in_quotes(text(key)), expected));
    }
    return *parsed;
  }

 private:
  static std::string wrong_type(std::string_view key, std::string_view expected,
                                const nlohmann::json& found) {
    return fmt::format("\"{}\" must be {}; it is or holds a JSON {}", key, expected,
                       found.type_name());
  }
  template <typename T>
  const T* checked(std::string_view key, std::string_view expected, const T* field) const {
    if (field == nullptr) fail(wrong_type(key, expected, value(key)));
    return field;
  }

  const nlohmann::json& object_;
  std::string file_;
  std::string place_;
};

}  // namespace cuqat::cli
