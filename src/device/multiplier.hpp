// What multiplies for a context.
#pragma once

#include "device/context.hpp"
#include "products.hpp"

namespace cuqat::detail {

/// The context's, for work on a stream. The first call makes it: it allocates, and waits for that
/// but for no stream.
/// @throws InvalidArgument for a first call while the stream is captured.
gpu::Multiplier& multiplier(const DeviceContext::State& state, const gpu::LaunchTarget& target);

}  // namespace cuqat::detail
