// The fast host backend: threads over fixed chunks, loops compiled once per instruction set.
#pragma once

#include <cstdint>
#include <span>

#include "host/operation_table.hpp"

namespace cuqat::cpu {

/// What the loops are compiled for: "baseline", "x86-64-v3", "x86-64-v4".
enum class InstructionSet : std::uint8_t { kBaseline, kX86V3, kX86V4 };

/// True where this build has the loops and this machine can run them.
bool is_usable(InstructionSet set) noexcept;

/// The table of one instruction set, which must be usable.
const detail::OperationTable& operations_for(InstructionSet set) noexcept;

/// The table of the best usable instruction set.
const detail::OperationTable& operations() noexcept;

/// Every table that can run on this machine, baseline first.
std::span<const detail::OperationTable* const> all_instruction_sets() noexcept;

}  // namespace cuqat::cpu
