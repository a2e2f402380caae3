// The backends that multiply, and codes to multiply.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cpu/cpu_backend.hpp"
#include "host/operation_table.hpp"
#include "reference/reference_backend.hpp"
#include "support/random.hpp"

namespace cuqat::test {

using Codes = std::vector<std::uint8_t>;

/// The reference and each instruction set of the CPU.
inline std::vector<const detail::OperationTable*> multiplying_tables() {
  std::vector<const detail::OperationTable*> tables{&reference::operations()};
  const auto sets = cpu::all_instruction_sets();
  tables.insert(tables.end(), sets.begin(), sets.end());
  return tables;
}

inline std::string table_name(const detail::OperationTable& table) {
  return std::string(table.name) + ", " + table.instruction_set;
}

/// Every code is as likely as the others.
inline Codes some_codes(std::int64_t count, std::uint64_t seed) {
  Random random(seed);
  Codes codes(static_cast<std::size_t>(count));
  for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random() >> 56);
  return codes;
}

inline const std::int8_t* as_int8(const Codes& codes) {
  return reinterpret_cast<const std::int8_t*>(codes.data());
}

}  // namespace cuqat::test
