"""Plants faults in the device code, one at a time, and expects a test to fail for each.

Usage: mutants.py SOURCE_FOLDER SCRATCH_FOLDER [NAME...]
       mutants.py --texts SOURCE_FOLDER   only says whether each could be planted

What the tests are worth: each fault is one that a kernel is easily written with, and a test that
runs on the executor of tests/simt must see it. One that survives is a hole in the tests.

A barrier or a fence that is not there may change no number in any order of threads that the
executor knows, and be a race all the same: such a mutant is built with ThreadSanitizer, which sees
the race itself.

Works on a copy, whose builds stay in SCRATCH_FOLDER for the next time. Every mutant puts its file
back, which is then compiled again: with CMAKE_CXX_COMPILER_LAUNCHER=ccache that costs nothing. A
mutant whose text its file does not have exactly once is an error: the list is kept true.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import time
from typing import NamedTuple


class Mutant(NamedTuple):
    name: str
    file: str
    old: str
    new: str
    tests: str  # a GoogleTest filter
    build: str = "cpu"  # the preset


AGREE = "ScaledOperations/Device.*/"
LINEAR = "EveryDType/DeviceLinear."
MUTANTS = [
    # Barriers and fences.
    Mutant("no barrier before a block knows that it is the last", "cuda/statistics.cuh",
           "  __syncthreads();\n  if (!shared.is_last_block) return;",
           "  if (!shared.is_last_block) return;", "DeviceRepeat.*EveryRunAndOrder"),
    Mutant("no fence before a block counts as finished", "cuda/statistics.cuh",
           "    __threadfence();  // the partial result is seen before the number is\n", "",
           "DeviceRepeat.*EveryRunAndOrder", "simt-tsan"),
    Mutant("no barrier between the tiles of a block", "cuda/transpose.cuh",
           "    __syncthreads();  // before the next tile takes the memory\n", "",
           "EveryDType/DeviceMatrix.*"),
    Mutant("no barrier between the groups of a block", "cuda/dynamic_quantize.cuh",
           "  __syncthreads();  // what the group before left there has been read\n", "",
           "All/DeviceDynamic.*/int8_*"),
    Mutant("no barrier before the next inputs of a product", "cuda/output_error.cuh",
           "      __syncthreads();  // the inputs before have been multiplied\n", "",
           "DeviceOutputError.HasTheSameBitsInEveryOrder"),
    Mutant("no barrier before the next squares of a row", "cuda/output_error.cuh",
           "    __syncthreads();  // those before have been added\n", "",
           "DeviceOutputError.HasTheHostsBitsOfLongRowsAndManyRows"),
    Mutant("no barrier between the steps of a fold", "cuda/learned_scale.cuh",
           "shared.sums[phase + half][column]);\n    __syncthreads();\n",
           "shared.sums[phase + half][column]);\n", "EveryDType/DeviceReduction.OfStrips*"),
    # Ends and sizes.
    Mutant("the last pack skipped", "cuda/pack.cuh",
           "count / kPackElements + (count % kPackElements != 0 ? 1 : 0)", "count / kPackElements",
           AGREE + "dequantize_int8_F32_tensor"),
    Mutant("a pack's place as an int", "cuda/pack.cuh",
           "first = pack * kPackElements - shift;",
           "first = static_cast<int>(pack * kPackElements - shift);", "PackLayout.*"),
    Mutant("the pack before the first whole one left out", "cuda/for_each_pack.cuh",
           "const int begin = skips_first ? -1 : 0;", "const int begin = skips_first ? 0 : 0;",
           "EveryDType/DeviceAlignment.*"),
    Mutant("the last pack taken for a whole one", "cuda/for_each_pack.cuh",
           "static_cast<unsigned>(end - skips_last)", "static_cast<unsigned>(end)",
           "ScaledOperations/Device.*/fake_quantize_int8_F32_tensor"),
    Mutant("the packs left of one round only", "cuda/for_each_pack.cuh",
           "if (!is_whole(0) || !is_whole(kInFlight - 1)) {", "if (!is_whole(0)) {",
           "ScaledOperations/Device.*/fake_quantize_int8_F32_tensor"),
    Mutant("a group's place as an int", "cuda/dynamic_quantize.cuh",
           "return {row * row_length + in_row, left <",
           "return {static_cast<int>(row * row_length + in_row), left <", "GroupLayout.*"),
    Mutant("a strip's place as an int", "cuda/scale_terms.cuh",
           "(first_row + phase) * terms.map.row_length + scale, phase,",
           "static_cast<int>((first_row + phase) * terms.map.row_length + scale), phase,",
           "ScaleTerms.*"),
    Mutant("a row's number from 32 bits", "cuda/scale_map.cuh", "row = map.by_row(element);",
           "row = map.by_row(static_cast<unsigned>(element));", "ScaleCursor.*"),
    Mutant("4096 zeros of a chunk counted as none", "cuda/scale_statistics.cuh",
           "counts >> shift & 0xffffu", "counts >> shift & 0xfffu",
           "DeviceReductionCounts.*"),
    Mutant("spare bits of a mask taken for elements", "cuda/fake_quantize.cuh",
           "if (first + bit < count)", "if (first + bit <= count)", "FlatOperations/Device.*"),
    Mutant("threads past the last row begin where others are", "cuda/pack_scales.cuh",
           "first_ < stride_ ? num_packs : 0", "num_packs",
           "DeviceColumn.*"),
    # Rounding.
    Mutant("half away from zero", "include/cuqat/scalar/prepared_scale.hpp",
           "return (divisor_.quotient(x) + kWhole) - kWhole;",
           "return round_half_away(divisor_.quotient(x));",
           AGREE + "fake_quantize_int8_F32_tensor"),
    Mutant("a quotient that is not corrected", "include/cuqat/scalar/shared_divisor.hpp",
           "return fused_multiply_add(rest, reciprocal_, near);",
           "return fused_multiply_add(rest, 0.0f, near);", AGREE + "fake_quantize_int8_F32_*"),
    Mutant("the sign of an FP8 zero lost", "include/cuqat/scalar/prepared_scale.hpp",
           "return with_sign_of(magnitude(divisor_.quotient(x)), x);",
           "return divisor_.quotient(x);", AGREE + "fake_quantize_e4m3_F32_*"),
    Mutant("the largest numbers taken for infinite", "cuda/pack_numbers.cuh",
           "kInfinity = 0x7f80u", "kInfinity = 0x7f7fu", "PackNumbers/*"),
    Mutant("a bound rounded up", "cuda/pack_numbers.cuh",
           "    if (scalar::load_compute(nearest) > largest) --pattern;\n", "", "PackNumbers/*"),
    Mutant("elements whose quotient overflows", "include/cuqat/scalar/shared_divisor.hpp",
           "kLargestQuotient = 0x1p126f", "kLargestQuotient = __builtin_inff()",
           AGREE + "fake_quantize_*_F32_tensor:DeviceTensorScale.*"),
    Mutant("codes that overflow made finite", "include/cuqat/scalar/prepared_scale.hpp",
           "return quantizer.saturate ?", "return true ?", AGREE + "quantize_e4m3_*"),
    Mutant("the bound of the largest scale", "cuda/pack_scales.cuh",
           "least = scalar::lesser(least, scale);", "least = scalar::larger(least, scale);",
           "ScaledOperations/Device.*/quantize_e4m3_*:DeviceColumn.*"),
    Mutant("scales that are not ordinary prepared", "cuda/pack_scales.cuh",
           "bool are_prepared() const { return is_prepared_; }\n\n  template <int kUnrolled, "
           "typename Place, typename Body>\n  __device__ void for_each(const Place& place",
           "bool are_prepared() const { return true; }\n\n  template <int kUnrolled, "
           "typename Place, typename Body>\n  __device__ void for_each(const Place& place",
           "DeviceTensorScale.*"),
    # Lanes and blocks.
    Mutant("a mask without the last lane", "cuda/warp.cuh", "0xffff'ffffu", "0x7fff'ffffu",
           "All/DeviceDynamic.*/int8_F32"),
    Mutant("a step of a reduction left out", "cuda/dynamic_quantize.cuh",
           "distance = lanes / 2; distance > 0", "distance = lanes / 2; distance > 1",
           "All/DeviceDynamic.*/int8_F32"),
    Mutant("lanes folded in another order", "cuda/learned_scale.cuh",
           "for (int half = kWarpThreads / 2; half > 0; half /= 2) {",
           "for (int half = 1; half < kWarpThreads; half *= 2) {",
           "EveryDType/DeviceReduction.OfMoreChunksThanLanes/*"),
    Mutant("the count of finished blocks not put back", "cuda/statistics.cuh",
           "    atomicExch(scratch.num_finished, 0u);\n", "", "DeviceRepeat.*EveryRunAndOrder"),
    # What belongs to what.
    Mutant("the columns of a neighbour", "cuda/pack_scales.cuh",
           "first_ % packs_per_row * kPackElements", "first_ / packs_per_row * kPackElements",
           AGREE + "fake_quantize_int8_F32_channel"),
    Mutant("the pack of another tensor's tile", "cuda/fake_quantize_batch.cuh",
           "(tile - tensor.first_tile)", "tile", "All/DeviceBatch.*"),
    Mutant("the numbers of a pair exchanged", "cuda/fp8_pair.cuh", "make_float2(low, high)",
           "make_float2(high, low)", "BothFormats/Fp8Pair.*"),
    Mutant("clip bits in the other order", "cuda/quantize_pack.cuh",
           "(steps[i] != value[i] ? 1u : 0u) << i;", "(steps[i] != value[i] ? 1u : 0u) << (7 - i);",
           AGREE + "fake_quantize_int8_F32_*"),
    Mutant("packs that are not finite left out of statistics", "cuda/quantize.cuh",
           "if constexpr (kWithStatistics) seen.add(span, pack);", "", AGREE + "quantize_int8_F32_tensor"),
    # Calibration.
    Mutant("full counters not flushed", "cuda/key_histogram.cuh",
           "window_.flush(totals_, !is_last);", "if (is_last) window_.flush(totals_, false);",
           "EveryType/DeviceHistogram.CountsMore*"),
    Mutant("no barrier before windows are flushed", "cuda/key_histogram.cuh",
           "bool only_high) const {\n    __syncthreads();\n", "bool only_high) const {\n",
           "EveryType/DeviceHistogram.CountsKeys*", "simt-tsan"),
    Mutant("negative keys counted as positive ones", "cuda/key_histogram.cuh",
           "(key >> 15) * kFromPositiveToNegative", "0 * kFromPositiveToNegative",
           "EveryType/DeviceHistogram.CountsKeys*"),
    Mutant("the last run outside the window forgotten", "cuda/key_histogram.cuh",
           "    run_.flush(totals_);\n    add_if_any", "    add_if_any",
           "EveryType/DeviceHistogram.CountsKeys*"),
    Mutant("sums of the runs before left out", "cuda/distribution.cuh",
           "shared.sum_of_run[i / kRun] + distribution", "distribution",
           "SixteenBits/DeviceCalibration.Gives*/BF16"),
    Mutant("the carry of a wide sum lost", "cuda/wide_sum.cuh",
           "(sum < low ? 1u : 0u)", "0u", "WideSum.*"),
    Mutant("clipped elements counted with the others", "cuda/quantization_error.cuh",
           "(y.clipped ? sum.clipping : sum.rounding) += term;", "sum.rounding += term;",
           "ScaledOperations/Device.*/quantization_error_*"),
    Mutant("the first of equal divergences", "cuda/entropy.cuh", "divergence_b : a > b;",
           "divergence_b : a < b;", "SixteenBits/DeviceCalibration.Gives*/BF16"),
    Mutant("the run of a code one value short", "cuda/clipping_search.cuh",
           "ladder.code(x) > code", "ladder.code(x) >= code",
           "SixteenBits/DeviceCalibration.Gives*/BF16"),
    Mutant("ranks of 32 bits", "cuda/percentile.cuh",
           "return static_cast<unsigned long long>(rank);", "return static_cast<unsigned>(rank);",
           "PercentileCounts.*"),
    Mutant("lower halves of the run before counted again", "cuda/percentile.cu",
           "    clear(memory.low_counts, static_cast<std::size_t>(ranks) * "
           "SelectionScratch::kLowBytes, target);\n", "", "DevicePercentileArguments.BothWays*"),
    Mutant("the keys of a shorter group left in the other buffer", "cuda/segment_sort.cu",
           "if (now == sorted) continue;", "continue;", "EveryType/DevicePercentile.Sorting*"),
    Mutant("bins of the scales before counted again", "cuda/scale_calibration.cu",
           "  clear_bins(scales);\n  const int num_blocks", "  const int num_blocks",
           "DeviceCalibrateLongScales.Gives*"),
    Mutant("what is not finite among the values", "cuda/sorted_distribution.cuh",
           "const std::int64_t finite = statistics[scale].finite();",
           "const std::int64_t finite = statistics[scale].count;",
           "Types/DeviceCalibrateScales.Gives*"),
    Mutant("zeros for the extremes of nothing", "cuda/coarse_distribution.cuh",
           "{ *all = Statistics{}; }", "{ *all = {0, 0, 0, 0, 0, 0.0, 0.0}; }",
           "NcclAllReduce.Takes*"),
    Mutant("zeros of the other ranks left out", "src/nccl/all_reduce.cpp",
           "reduce(&statistics->count, kNumCounts, ", "reduce(&statistics->count, kNumCounts - 1, ",
           "NcclAllReduce.Has*"),
    Mutant("the least taken for the greatest", "src/nccl/all_reduce.cpp",
           "1, ncclFloat64, ncclMax", "1, ncclFloat64, ncclMin", "NcclAllReduce.Takes*"),
    Mutant("an error leaves the group open", "src/nccl/all_reduce.cpp",
           "if (is_open_)", "if (!is_open_)", "NcclAllReduce.SaysWhich*"),
    Mutant("coarse values past the extremes", "cuda/coarse_distribution.cuh",
           "return middle < statistics->min ", "return true ? middle : middle < statistics->min ",
           "DeviceCoarseCalibration.Gives*"),
    Mutant("the negative magnitudes of a key lost", "cuda/coarse_distribution.cuh",
           "        first.count += second.count;\n", "", "DeviceCoarseCalibration.Gives*"),
    Mutant("errors of the first scale for all", "cuda/finalists.cuh",
           "const std::int64_t scale = first_scale + blockIdx.y;",
           "const std::int64_t scale = first_scale;",
           "DeviceCalibrateLongScales.Gives*"),
    Mutant("values of a step not observed", "cuda/observe_fake_quantize.cuh",
           "fake_quantize_packs<true, ", "fake_quantize_packs<false, ",
           "SixteenBits/DeviceCalibration.Observes*"),
    # Sizes.
    Mutant("places of 32 bits in the quick way", "cuda/for_each_pack.cuh",
           "WholePack place{round * kPackElements - layout.shift};",
           "WholePack place{static_cast<int>(round * kPackElements - layout.shift)};",
           "ForEachPack.*"),
    Mutant("elements of a mask's byte of 32 bits", "cuda/fake_quantize.cuh",
           "const std::int64_t first = (place.first + byte) * kPackElements;",
           "const int first = static_cast<int>((place.first + byte) * kPackElements);",
           "SparseTensors.AreCleared*"),
    Mutant("rows of a matrix at places of 32 bits", "cuda/transpose.cuh",
           "const std::int64_t begin = first_row * layout.columns + first_column;",
           "const int begin = static_cast<int>(first_row * layout.columns + first_column);",
           "SparseTensors.AreTransposed*"),
    Mutant("a whole pack at a place of 32 bits", "cuda/pack.cuh",
           "static_cast<T*>(base) + place.first, pack);",
           "static_cast<T*>(base) + static_cast<int>(place.first), pack);",
           "SparseTensors.ArePackedPast32Bits"),
    Mutant("a part of a pack at a place of 32 bits", "cuda/pack.cuh",
           "char* const to = static_cast<char*>(base) + span.first * static_cast<std::int64_t>(sizeof(T));",
           "char* const to = static_cast<char*>(base) + static_cast<int>(span.first) * static_cast<std::int64_t>(sizeof(T));",
           "SparseTensors.ArePackedPast32Bits"),
    Mutant("nibbles at a place of 32 bits", "cuda/quantize_pack.cuh",
           "return codes + place.first / 2;", "return codes + static_cast<int>(place.first / 2);",
           "SparseTensors.ArePackedPast32Bits"),
    Mutant("a gradient at a place of 32 bits", "cuda/learned_scale.cuh",
           "store_element<BitsOf<T>>(dx, element, passed);\n  }\n\n private:",
           "store_element<BitsOf<T>>(dx, static_cast<int>(element), passed);\n  }\n\n private:",
           "SparseTensors.HaveTheirGradients*"),
    Mutant("a column of a transpose at a place of 32 bits", "cuda/transpose.cuh",
           "codes_transposed + column * layout.rows + first_row + row;",
           "codes_transposed + static_cast<int>(column * layout.rows) + first_row + row;",
           "SparseTensors.HaveTheColumns*"),
    Mutant("grids of all that is wanted", "cuda/launch.hpp", "std::min(wanted, most)", "std::max(wanted, most)",
           "DeviceErrors.AGridOfMany*"),
    # Arguments.
    Mutant("codes that may be anywhere", "src/device/fake_quant.cpp",
           "  detail::check_device_codes(codes, y.count(), params.quantizer.format, layout, "
           "context);\n", "", "DeviceChecks.*"),
    Mutant("values over the codes that they are read from", "src/device/fake_quant.cpp",
           '{{"codes", as_plain(codes)},\n                                             '
           "detail::scale_region(params)", "{detail::scale_region(params)", "DeviceChecks.*"),
    Mutant("steps before the newest forgotten", "cuda/observers.cuh", "step != slot && past",
           "step > slot && past", "DeviceObservers.*"),
    # Products.
    Mutant("the term of w's zero points forgotten", "cuda/gemm_epilogue.cuh",
           "outputs.zero_point[j] * row_sum", "0", LINEAR + "HasTheHostsBits*"),
    Mutant("the depth forgotten where both operands have zero points", "cuda/gemm_epilogue.cuh",
           "    terms.sum[i] = wrapping(epilogue.depth) * terms.zero_point[i];\n", "",
           LINEAR + "HasTheHostsBits*"),
    Mutant("padding that is the next row", "cuda/gemm_operands.cuh",
           "left < kPackElements ? static_cast<int>(left) : kPackElements", "kPackElements",
           "DeviceInt8Gemm.IsTheHosts*"),
    Mutant("a part of a deep sum in the place of those before", "cuda/gemm_operands.cuh",
           "(kIsFirst ? 0 : sums[i]) + part[i]", "part[i]", LINEAR + "IsExactForEveryDepth*"),
    Mutant("parts deeper than int32 holds", "cuda/gemm_cut.cu",
           "kPartDepth = kMaxInt32Depth / kDepthUnit", "kPartDepth = 2 * kMaxInt32Depth / kDepthUnit",
           LINEAR + "IsExactForEveryDepth*"),
    Mutant("a copy of x kept for the rows after it", "cuda/gemm.cu",
           "cut_.copies_x, false,", "cut_.copies_x, row > 0,", "DeviceInt8Gemm.IsTheSameInPieces"),
    Mutant("few rows left over padded into what follows", "cuda/gemm_cut.hpp",
           "return !copies_x || !writes_sums;", "return !copies_x;",
           "DeviceInt8Gemm.IsTheSameInPieces"),
    Mutant("a plan for every alignment", "cuda/product_plan.cu", "std::uint8_t alignment = 1;",
           "std::uint8_t alignment = 16;", "EveryDType/DeviceGemm.TakesEveryAddress*"),
    Mutant("a plan for every depth", "cuda/product_plan.cu",
           "{shape.m, shape.n, shape.k, a.stride", "{shape.m, shape.n, 0, a.stride",
           "EveryDType/DeviceGemm.IsTheProduct*"),
    Mutant("sums of 16 bits rounded on the way", "cuda/product_plan.cu",
           "is_narrow ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE",
           "is_narrow ? CUBLASLT_REDUCTION_SCHEME_INPLACE", "DeviceProducts.Of16Bits*"),
    Mutant("f32 as TF32", "cuda/product_plan.cu", "return {CUBLAS_COMPUTE_32F, CUDA_R_32F};",
           "return {CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F};", "DeviceProducts.OfF32*"),
    Mutant("b's transpose forgotten", "cuda/product_plan.cu",
           "transpose(CUBLASLT_MATMUL_DESC_TRANSA, kind.transposed[1] != 0)",
           "transpose(CUBLASLT_MATMUL_DESC_TRANSA, true)", "EveryDType/DeviceGemm.IsTheProduct*"),
    Mutant("the zero point of y's codes forgotten", "cuda/gemm_epilogue.cuh",
           "zero_point == nullptr ? 0 : *zero_point", "0",
           "EveryQuantizer/DeviceLinearCodes.AreTheHosts/*"),
    Mutant("the plan that was used last forgotten", "cuda/multiplier.cu",
           "a.second.last_use < b.second.last_use", "a.second.last_use > b.second.last_use",
           "ProductPlans.AreForgotten*"),
    Mutant("a way that fails kept", "cuda/multiplier.cu", "  state_->plans.erase(found);\n", "",
           "ProductPlans.ThatFail*"),
    Mutant("few rows more than there are", "cuda/gemm_cut.cu",
           "std::min(cut.rows + (cut.keeps_few_together() ? kFewRows : 0), cut.all_rows)",
           "cut.rows + kFewRows", "ProductScratch*"),
    Mutant("rows of a piece that begin where the first does", "src/device/linear.cpp",
           "(row * n + output) * y_bytes", "output * y_bytes",
           "EveryDType/DeviceNumbersLinear.IsTheSameInPieces/*"),
    # Layers.
    Mutant("scales left as a copy made them whose wait failed", "src/device/layer_scales.cpp",
           "      overwrite(memory_.data(), before, stream);\n", "",
           "Kinds/DeviceLayerFailures.WhereScalesAreSet*"),
    Mutant("a Saved's memory on the device before", "src/device/layer.cpp",
           "if (kept.device != state_->device) {", "if (kept.device < 0) {",
           "Kinds/DeviceLayerFailures.ASavedGoes*"),
    Mutant("the host's codes in replays that train", "src/device/layer.cpp",
           "if (pass == Pass::kTraining) are_codes_given = false;", "static_cast<void>(pass);",
           "DeviceLayerOfAHost.Quantizes*"),
    # Equalization.
    Mutant("products of f64 fused", "cuda/output_error.cu",
           "products_are_exact = x.dtype != DType::kF64 && w.dtype != DType::kF64;",
           "products_are_exact = x.columns > 0;", "DeviceOutputError.RoundsTheProductsOfF64"),
    Mutant("the squares of the rows before forgotten", "cuda/output_error.cu", "first == 0,", "true,",
           "DeviceOutputError.DoesNotDependOnTheScratchMemory"),
    Mutant("the ranges of all scales in one place", "cuda/finalists.cuh",
           "store_range(output, first_scale + blockIdx.y, best)",
           "store_range(output, first_scale, best)", "DeviceFindEqualization.*MethodAndFormat"),
    Mutant("the ranges of a launch where those of the first are", "cuda/finalists.cuh",
           "store_range(output, first_scale + blockIdx.y, best)",
           "store_range(output, blockIdx.y, best)", "DeviceFindEqualization.*MoreScales*"),
]

# What the tests are built from.
PARTS = ["CMakeLists.txt", "CMakePresets.json", "cmake", "cuda", "examples", "include", "src", "tests"]
# In seconds, for the tests of a mutant that goes round and round.
TIME_LIMIT = 600


def run(*command: str | pathlib.Path, time_limit: float | None = None) -> tuple[int, str]:
    """The exit status and the output; status 124 past the time limit."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=time_limit,
                              env={**os.environ, "TSAN_OPTIONS": "halt_on_error=1"})
    except subprocess.TimeoutExpired as late:
        return 124, (late.stdout or b"").decode(errors="replace")
    return done.returncode, done.stdout


class Copy:
    """The tree that faults are planted in, and its builds. Its files are new, and so are compiled
    again: what an earlier run left may have a fault in it."""

    def __init__(self, source: pathlib.Path, scratch: pathlib.Path):
        self.scratch = scratch
        self.tree = scratch / "tree"
        shutil.rmtree(self.tree, ignore_errors=True)
        self.tree.mkdir(parents=True)
        for part in PARTS:
            if (source / part).is_dir():
                shutil.copytree(source / part, self.tree / part, copy_function=shutil.copy)
            else:
                shutil.copy(source / part, self.tree / part)

    def configure(self, preset: str) -> tuple[int, str]:
        return run("cmake", "-S", self.tree, "--preset", preset, "-B", self.scratch / preset,
                   "-DCUQAT_BUILD_BENCH=OFF", "-DCUQAT_BUILD_CLI=OFF", "-DCUQAT_WERROR=OFF",
                   "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG")  # compiles twice as fast

    def build(self, preset: str) -> tuple[int, str]:
        return run("cmake", "--build", self.scratch / preset, "--parallel", str(os.cpu_count()),
                   "--target", "simt_conformance_test")

    def test(self, preset: str, tests: str, *options: str) -> tuple[int, str]:
        program = self.scratch / preset / "bin" / "simt_conformance_test"
        return run(program, f"--gtest_filter={tests}", *options, time_limit=TIME_LIMIT)


def check_without_faults(copy: Copy, preset: str, mutants: list[Mutant]) -> None:
    """A test that fails anyhow would kill every mutant, and a filter of no tests none."""
    for step in (copy.configure, copy.build):
        status, output = step(preset)
        if status != 0:
            sys.exit(f"{preset} does not build without a fault:\n{output}")
    for mutant in mutants:
        if not copy.test(preset, mutant.tests, "--gtest_list_tests")[1].count("\n  "):
            sys.exit(f"{mutant.name}: {mutant.tests} selects no test")
    status, output = copy.test(preset, ":".join(m.tests for m in mutants), "--gtest_brief=1")
    if status != 0:
        sys.exit(f"{preset}: tests fail without a fault:\n{output}")


def who_killed(status: int, output: str) -> str:
    """The first test that failed, or the last that began: it ended the program."""
    tests = {state: [line.split(state)[1].split()[0].rstrip(",") for line in output.splitlines()
                     if line.startswith(state)] for state in ("[ RUN      ]", "[  FAILED  ]")}
    if tests["[  FAILED  ]"]:
        return tests["[  FAILED  ]"][0]
    how = ("a data race" if "WARNING: ThreadSanitizer: data race" in output else
           "the time limit" if status == 124 else "a crash")
    return f"{how} in {tests['[ RUN      ]'][-1]}"


def outcome(copy: Copy, mutant: Mutant) -> str:
    file = copy.tree / mutant.file
    text = file.read_text()
    if text.count(mutant.old) != 1:
        return f"NOT PLANTED: its text is {text.count(mutant.old)} times in {mutant.file}"
    file.write_text(text.replace(mutant.old, mutant.new))
    try:
        status, output = copy.build(mutant.build)
        if status != 0:
            errors = [line for line in output.splitlines() if "error: " in line]
            return "NOT PLANTED: " + "".join(errors[:1])
        status, output = copy.test(mutant.build, mutant.tests, "--gtest_fail_fast")
        return "SURVIVED" if status == 0 else f"killed by {who_killed(status, output)}"
    finally:
        file.write_text(text)


def check_texts(source: pathlib.Path) -> None:
    wrong = [f"{mutant.name}: its text is {count} times in {mutant.file}" for mutant in MUTANTS
             if (count := (source / mutant.file).read_text().count(mutant.old)) != 1]
    print(f"{len(MUTANTS) - len(wrong)} of {len(MUTANTS)} mutants can be planted", *wrong, sep="\n")
    sys.exit(bool(wrong))


def main() -> None:
    if sys.argv[1] == "--texts":
        check_texts(pathlib.Path(sys.argv[2]))
    source, scratch = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    wanted = sys.argv[3:]
    unknown = set(wanted) - {mutant.name for mutant in MUTANTS}
    if unknown:
        sys.exit(f"no mutants of these names: {', '.join(sorted(unknown))}")
    mutants = [mutant for mutant in MUTANTS if not wanted or mutant.name in wanted]
    copy = Copy(source, scratch)
    killed = 0
    for preset in sorted({mutant.build for mutant in mutants}):
        of_preset = [mutant for mutant in mutants if mutant.build == preset]
        check_without_faults(copy, preset, of_preset)
        for mutant in of_preset:
            begin = time.monotonic()
            result = outcome(copy, mutant)
            killed += result.startswith("killed")
            print(f"{mutant.file.split('/')[-1]:20} {mutant.name}: {result} "
                  f"[{preset}, {time.monotonic() - begin:.0f} s]", flush=True)
    print(f"{killed} of {len(mutants)} killed")
    sys.exit(killed != len(mutants))


if __name__ == "__main__":
    main()
