// Everything of the host, but the frozen mirror of the original system. The device headers, which
// need the CUDA toolkit's, are included one by one (cuqat/device_*.hpp).
#pragma once

#include "cuqat/backend.hpp"
#include "cuqat/calibration.hpp"
#include "cuqat/dynamic_quant.hpp"
#include "cuqat/equalization.hpp"
#include "cuqat/error.hpp"
#include "cuqat/fake_quant.hpp"
#include "cuqat/format.hpp"
#include "cuqat/gemm.hpp"
#include "cuqat/histogram.hpp"
#include "cuqat/layer.hpp"
#include "cuqat/percentile.hpp"
#include "cuqat/quant_params.hpp"
#include "cuqat/statistics.hpp"
#include "cuqat/tensor_view.hpp"
#include "cuqat/version.hpp"
#include "cuqat/weights.hpp"
