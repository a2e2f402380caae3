// Every backend that can run here, and their names in tests.
#pragma once

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "cpu/cpu_backend.hpp"
#include "host/operation_table.hpp"
#include "reference/reference_backend.hpp"

namespace cuqat::test {

using Table = const detail::OperationTable*;

/// The tables that are compared with the reference.
inline std::vector<Table> fast_tables() {
  const auto tables = cpu::all_instruction_sets();
  return {tables.begin(), tables.end()};
}

/// The reference and all others.
inline std::vector<Table> all_tables() {
  std::vector<Table> tables = fast_tables();
  tables.insert(tables.begin(), &reference::operations());
  return tables;
}

/// Letters, digits and underscores only, as GoogleTest asks.
inline std::string test_name(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return text;
}

inline std::string test_name(Table table) {
  const bool plain = table == &reference::operations();
  return test_name(plain ? std::string(table->name)
                         : std::string(table->name) + "_" + table->instruction_set);
}

}  // namespace cuqat::test
