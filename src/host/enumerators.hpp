// An argument's value must be one that its enumeration names: a cast may bring any number.
#pragma once

#include <string>
#include <string_view>

#include "cuqat/error.hpp"

namespace cuqat::detail {

/// `last` is the enumeration's last value; the first is 0 and none between them is left out.
/// @throws InvalidArgument for a value past it.
template <typename Enum>
void check_enumerator(std::string_view name, Enum value, Enum last) {
  if (value <= last) return;
  throw InvalidArgument(std::string(name) + " is " + std::to_string(static_cast<int>(value)) +
                        "; it must be a value of its enumeration, at most " +
                        std::to_string(static_cast<int>(last)));
}

}  // namespace cuqat::detail
