#include "io/npy_header.hpp"

#include <cstddef>
#include <utility>

#include "cuqat/tensor_view.hpp"
#include "io/error.hpp"

namespace cuqat::io {
namespace {

class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  NpyHeader parse();

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    throw FileError(file_, "header, byte " + std::to_string(position_) + ": " + problem);
  }
  [[noreturn]] void expected(const char* what) const {
    fail("expected " + std::string(what) + ", found " +
         (at_end() ? std::string("its end") : in_quotes(text_.substr(position_, 1))));
  }
  [[nodiscard]] bool at_end() const { return position_ == text_.size(); }
  /// The next character that is no white space, or NUL at the end.
  char peek();
  /// Takes the character where it comes next.
  bool take(char c);
  void require(char c, const char* what) {
    if (!take(c)) expected(what);
  }
  void entry();
  std::string string_literal(const char* what);
  bool boolean();
  std::string descr();
  std::vector<std::int64_t> shape();
  std::int64_t extent();

  std::string_view text_;
  const std::string& file_;
  std::size_t position_ = 0;
  NpyHeader header_;
  bool has_descr_ = false;
  bool has_fortran_order_ = false;
  bool has_shape_ = false;
};

char HeaderParser::peek() {
  while (!at_end() &&
         std::string_view(" \t\r\n").find(text_[position_]) != std::string_view::npos) {
    ++position_;
  }
  return at_end() ? '\0' : text_[position_];
}

bool HeaderParser::take(char c) {
  if (peek() != c || at_end()) return false;
  ++position_;
  return true;
}

NpyHeader HeaderParser::parse() {
  require('{', "'{'");
  while (!take('}')) {
    entry();
    if (!take(',') && peek() != '}') expected("',' or '}'");
  }
  peek();
  if (!at_end()) expected("nothing after '}'");
  if (!has_descr_) fail("has no key descr");
  if (!has_fortran_order_) fail("has no key fortran_order");
  if (!has_shape_) fail("has no key shape");
  return std::move(header_);
}

void HeaderParser::entry() {
  const std::string key = string_literal("a key in quotes");
  bool* seen = key == "descr"           ? &has_descr_
               : key == "fortran_order" ? &has_fortran_order_
               : key == "shape"         ? &has_shape_
                                        : nullptr;
  if (seen == nullptr) {
    fail("unknown key " + in_quotes(key) + "; the keys are descr, fortran_order and shape");
  }
  if (*seen) fail("repeats the key " + key);
  *seen = true;
  require(':', "':'");
  if (seen == &has_descr_) {
    header_.descr = descr();
  } else if (seen == &has_fortran_order_) {
    header_.fortran_order = boolean();
  } else {
    header_.shape = shape();
  }
}

std::string HeaderParser::string_literal(const char* what) {
  const char quote = peek();
  if (quote != '\'' && quote != '"') expected(what);
  const std::size_t begin = ++position_;
  while (!at_end() && text_[position_] != quote) {
    const char c = text_[position_];
    if (c == '\\' || c < ' ' || c > '~') expected("plain ASCII in a string");
    ++position_;
  }
  if (at_end()) fail("a string does not end");
  return std::string(text_.substr(begin, position_++ - begin));
}

std::string HeaderParser::descr() {
  const char next = peek();
  if (next == '[' || next == '(') {
    fail("structured arrays are not supported; save one field as f2, f4 or f8");
  }
  return string_literal("a type in quotes");
}

bool HeaderParser::boolean() {
  peek();
  for (const std::string_view word : {"True", "False"}) {
    if (text_.substr(position_).starts_with(word)) {
      position_ += word.size();
      return word == "True";
    }
  }
  expected("True or False");
}

std::vector<std::int64_t> HeaderParser::shape() {
  std::vector<std::int64_t> extents;
  require('(', "'(' of the shape");
  bool ends_with_comma = false;
  while (!take(')')) {
    if (extents.size() == Shape::kMaxRank) {
      fail("rank exceeds the limit " + std::to_string(Shape::kMaxRank));
    }
    extents.push_back(extent());
    ends_with_comma = take(',');
    if (!ends_with_comma && peek() != ')') expected("',' or ')'");
  }
  // In Python, (3) is a number.
  if (extents.size() == 1 && !ends_with_comma) fail("a shape of one extent needs a comma: (3,)");
  return extents;
}

std::int64_t HeaderParser::extent() {
  const auto is_digit = [&] {
    return !at_end() && text_[position_] >= '0' && text_[position_] <= '9';
  };
  peek();
  if (!is_digit()) expected("an unsigned integer");
  const std::size_t begin = position_;
  std::int64_t value = 0;
  for (; is_digit(); ++position_) {
    if (__builtin_mul_overflow(value, std::int64_t{10}, &value) ||
        __builtin_add_overflow(value, std::int64_t{text_[position_] - '0'}, &value)) {
      fail("extent exceeds the limit 9223372036854775807");
    }
  }
  if (text_[begin] == '0' && position_ - begin > 1) fail("extent begins with 0");
  // Python 2 wrote long integers so.
  if (!at_end() && text_[position_] == 'L') ++position_;
  return value;
}

}  // namespace

NpyHeader parse_npy_header(std::string_view text, const std::string& file) {
  return HeaderParser(text, file).parse();
}

}  // namespace cuqat::io
