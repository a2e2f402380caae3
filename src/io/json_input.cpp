#include "io/json_input.hpp"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <iterator>
#include <set>
#include <vector>

#include "io/json_problem.hpp"
#include "io/mapped_file.hpp"

namespace cuqat::io {
namespace {

// Walks the text and notes how far the parser has come, which it tells nobody.
class TrackedIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  TrackedIterator(const char* at, const char** reached) : at_(at), reached_(reached) {}
  reference operator*() const { return *at_; }
  TrackedIterator& operator++() {
    *reached_ = ++at_;
    return *this;
  }
  TrackedIterator operator++(int) {
    TrackedIterator before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const TrackedIterator& a, const TrackedIterator& b) {
    return a.at_ == b.at_;
  }

 private:
  const char* at_;
  const char** reached_;
};

// Watches the parser: it neither limits the depth nor minds a repeated key.
class StrictnessCheck {
 public:
  StrictnessCheck(std::string_view text, const std::string& file, int max_depth)
      : text_(text), reached_(text.data()), file_(file), max_depth_(max_depth) {}

  TrackedIterator begin() { return {text_.data(), &reached_}; }
  TrackedIterator end() { return {text_.data() + text_.size(), &reached_}; }

  bool operator()(int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    switch (event) {
      case Event::object_start:
        check_depth(depth);
        keys_.emplace_back();
        break;
      case Event::object_end:
        keys_.pop_back();
        break;
      case Event::array_start:
        check_depth(depth);
        break;
      case Event::key:
        check_key(parsed.get_ref<const std::string&>());
        break;
      case Event::array_end:
      case Event::value:
        break;
    }
    return true;
  }

  /// How far the parser has come.
  [[nodiscard]] std::string position() const {
    const std::string_view read =
        text_.substr(0, static_cast<std::size_t>(reached_ - text_.data()));
    const std::size_t line_start = read.rfind('\n') + 1;  // npos + 1 is 0.
    return " at line " + std::to_string(1 + std::ranges::count(read, '\n')) + ", column " +
           std::to_string(read.size() - line_start);
  }

 private:
  void check_depth(int depth) const {
    if (depth >= max_depth_) {
      throw FileError(
          file_, "JSON is nested deeper than the limit " + std::to_string(max_depth_) + position());
    }
  }
  void check_key(const std::string& key) {
    if (!keys_.back().insert(key).second) {
      throw FileError(file_, "JSON object repeats the key " + in_quotes(key) + position());
    }
  }

  std::string_view text_;
  const char* reached_;
  const std::string& file_;
  int max_depth_;
  std::vector<std::set<std::string>> keys_;  // Of the objects that are open, outermost first.
};

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& display_name,
                          const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    throw FileError(display_name, "JSON of " + std::to_string(text.size()) +
                                      " bytes exceeds the limit " +
                                      std::to_string(limits.max_bytes));
  }
  // The parser skips a byte order mark, and takes a NUL for the end of the text.
  if (text.starts_with("\xef\xbb\xbf")) {
    throw FileError(display_name, "begins with a byte order mark; JSON must not");
  }
  const std::size_t nul = text.find('\0');
  if (nul != std::string_view::npos) {
    throw FileError(display_name, "holds a NUL at byte " + std::to_string(nul) + "; no JSON");
  }
  StrictnessCheck check(text, display_name, limits.max_depth);
  try {
    return nlohmann::json::parse(check.begin(), check.end(), std::ref(check));
  } catch (const nlohmann::json::parse_error& error) {
    throw FileError(display_name, json_problem(error));
  } catch (const nlohmann::json::exception& error) {
    throw FileError(display_name, json_problem(error) + check.position());
  }
}

nlohmann::json read_json(const std::string& path, const JsonLimits& limits) {
  const MappedFile file = MappedFile::open(path);
  const auto* text = reinterpret_cast<const char*>(file.bytes().data());
  return parse_json(std::string_view(text, file.size()), file.display_name(), limits);
}

}  // namespace cuqat::io
