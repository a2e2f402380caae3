// The oracle: serial, obvious, and written from docs/numerics.md without the scalar layer, so that
// it can judge whatever is built on that layer.
#pragma once

#include "host/operation_table.hpp"

namespace cuqat::reference {

const detail::OperationTable& operations() noexcept;

}  // namespace cuqat::reference
