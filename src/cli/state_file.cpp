#include "cli/state_file.hpp"

#include <bit>
#include <cstring>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "cli/text.hpp"
#include "io/error.hpp"
#include "io/names.hpp"

namespace cuqat::cli {
namespace {

constexpr std::string_view kMagic = "CUQATST1";  // the last is the version
constexpr std::size_t kVersionAt = 7;
constexpr std::uint64_t kFnvBasis = 0xcbf2'9ce4'8422'2325u;
constexpr std::uint64_t kFnvPrime = 0x0000'0100'0000'01b3u;
static_assert(std::endian::native == std::endian::little, "numbers are written as they lie");

std::uint64_t fnv1a(std::uint64_t hash, std::span<const std::byte> bytes) {
  for (const std::byte byte : bytes) hash = (hash ^ static_cast<std::uint64_t>(byte)) * kFnvPrime;
  return hash;
}

/// Takes bytes from the front; every length is compared with what is left.
class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& file) : rest_(bytes), file_(file) {}

  std::span<const std::byte> take(std::uint64_t size, std::string_view what) {
    if (size > rest_.size()) {
      fail(fmt::format("{} takes {} bytes; {} are left", what, size, rest_.size()));
    }
    const auto taken = rest_.first(static_cast<std::size_t>(size));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  std::uint64_t take_number(std::string_view what) {
    std::uint64_t number = 0;
    std::memcpy(&number, take(sizeof(number), what).data(), sizeof(number));
    return number;
  }
  std::string take_text(std::uint64_t size, std::string_view what) {
    const auto bytes = take(size, what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  [[nodiscard]] std::size_t left() const noexcept { return rest_.size(); }
  [[noreturn]] void fail(const std::string& problem) const {
    throw io::FileError(file_, "damaged state file: " + problem);
  }

 private:
  std::span<const std::byte> rest_;
  const std::string& file_;
};

// The bytes between which the checksum was taken, once it has been found right.
std::span<const std::byte> checked_body(const io::MappedFile& file) {
  const std::span<const std::byte> bytes = file.bytes();
  constexpr std::size_t kLeast = kMagic.size() + 2 * sizeof(std::uint64_t);
  if (bytes.size() < kLeast || std::memcmp(bytes.data(), kMagic.data(), kVersionAt) != 0) {
    throw io::FileError(file.display_name(), "is no state file of cuqat");
  }
  const char version = static_cast<char>(bytes[kVersionAt]);
  if (version != kMagic[kVersionAt]) {
    throw io::FileError(file.display_name(),
                        fmt::format("is a state file of version {}; this program reads {}",
                                    printable({&version, 1}), kMagic[kVersionAt]));
  }
  const std::span<const std::byte> body = bytes.first(bytes.size() - sizeof(std::uint64_t));
  std::uint64_t stored = 0;
  std::memcpy(&stored, bytes.data() + body.size(), sizeof(stored));
  const std::uint64_t computed = fnv1a(kFnvBasis, body);
  if (stored != computed) {
    throw io::FileError(file.display_name(),
                        fmt::format("damaged state file: checksum {:016x}; its bytes give {:016x}",
                                    stored, computed));
  }
  return body.subspan(kMagic.size());
}

/// A shape of one extent may be no more than a count of elements; channels along it are as many.
bool counts_first_axis(const CalibrationCollector& collector) {
  const std::span<const std::int64_t> shape = collector.shape();
  return needs_one_piece(collector.granularity(), shape.size()) && !shape.empty() &&
         collector.num_scales() == shape.front();
}

}  // namespace

StateWriter::StateWriter(Output& output, std::size_t num_tensors)
    : output_(output), checksum_(kFnvBasis) {
  put(std::as_bytes(std::span(kMagic)));
  put_number(num_tensors);
}

void StateWriter::add(std::string_view name, std::span<const std::byte> state) {
  put_number(name.size());
  put(std::as_bytes(std::span(name)));
  put_number(state.size());
  put(state);
}

void StateWriter::finish() { put_number(checksum_); }

void StateWriter::put(std::span<const std::byte> bytes) {
  checksum_ = fnv1a(checksum_, bytes);
  output_.write(bytes);
}

void StateWriter::put_number(std::uint64_t number) { put(std::as_bytes(std::span(&number, 1))); }

StateFiles::StateFiles(std::span<const std::string> paths) {
  for (const std::string& path : paths) {
    files_.push_back(io::MappedFile::open(path));
    index(files_.size() - 1);
  }
}

void StateFiles::index(std::size_t file) {
  const std::string& display_name = files_[file].display_name();
  Reader reader(checked_body(files_[file]), display_name);
  const std::uint64_t num_tensors = reader.take_number("the number of tensors");
  std::string previous;
  for (std::uint64_t i = 0; i < num_tensors; ++i) {
    const std::string name = reader.take_text(reader.take_number("a length"), "a name");
    if (!is_utf8(name)) reader.fail("the name " + io::in_quotes(name) + " is not UTF-8");
    if (i > 0 && name <= previous) {
      reader.fail(fmt::format("the name {} does not come after {}", io::in_quotes(name),
                              io::in_quotes(previous)));
    }
    parts_[name].push_back({file, reader.take(reader.take_number("a length"), "a collector")});
    previous = name;
  }
  if (reader.left() != 0) reader.fail(fmt::format("{} bytes after its end", reader.left()));
}

std::vector<std::string> StateFiles::names() const {
  std::vector<std::string> names;
  for (const auto& [name, parts] : parts_) names.push_back(name);
  return names;
}

CalibrationCollector StateFiles::load(const std::string& name) const {
  std::optional<CalibrationCollector> sum;
  for (const Part& part : parts_.at(name)) {
    try {
      CalibrationCollector collector = CalibrationCollector::load(part.bytes);
      if (!sum) {
        sum.emplace(std::move(collector));
        continue;
      }
      if (counts_first_axis(collector)) {
        throw InvalidArgument(fmt::format("{} counts along the first axis, which batches extend",
                                          io::to_text(collector.granularity())));
      }
      sum->merge(collector);
    } catch (const Error& error) {
      throw io::FileError(files_[part.file].display_name(),
                          fmt::format("tensor {}: {}", io::in_quotes(name), error.what()));
    }
  }
  return std::move(*sum);
}

bool needs_one_piece(const Granularity& granularity, std::size_t rank) noexcept {
  switch (granularity.kind) {
    case Granularity::Kind::kTensor:
      return false;
    case Granularity::Kind::kChannel:
      return granularity.axis == 0 || granularity.axis == -static_cast<int>(rank);
    case Granularity::Kind::kGroup:
      return true;
  }
  return false;
}

}  // namespace cuqat::cli
