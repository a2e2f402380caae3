"""The CPU rows in what a user would pick instead: torch, numpy, ONNX Runtime, modelopt.

Whatever of these is installed is timed, right after cuqat's own rows (scripts/bench_cpu.sh --peers),
each beside a copy of the same bytes measured in the same loop. Prints a table: seconds, how many
copies that is, and how many times cuqat's seconds for the same row.
"""
import argparse
import contextlib
import io
import json
import os
import statistics
import time
import warnings

import numpy as np

warnings.filterwarnings("ignore")

COUNT = 1 << 25  # as the C++ benchmarks
ACTIVATIONS = os.environ.get("CUQAT_BENCH_ACTIVATIONS", "data/minilm_activations.safetensors")


def median_seconds(work, copy, repeats):
    """Medians of `work` and of the copy, taken in turn; the ratio is the median of the pairs'."""
    work()
    copy()
    pairs = []
    for _ in range(repeats):
        begin = time.perf_counter()
        copy()
        middle = time.perf_counter()
        work()
        pairs.append((time.perf_counter() - middle, middle - begin))
    return (
        statistics.median(work for work, _ in pairs),
        statistics.median(work / copy for work, copy in pairs),
    )


class Copies:
    """Copies of a given number of bytes (read and written together), with torch's threads if any."""

    def __init__(self, torch):
        self.torch = torch

    def of(self, num_bytes):
        size = max(num_bytes // 2, 1)
        if self.torch is None:
            source, target = np.ones(size, np.uint8), np.empty(size, np.uint8)
            return lambda: np.copyto(target, source)
        source = self.torch.ones(size, dtype=self.torch.uint8)
        target = self.torch.empty_like(source)
        return lambda: target.copy_(source)


def numpy_rows(x):
    """Rows of numpy: row name, bytes, work."""
    yield "18 percentile f32 99.99", x.nbytes, lambda: np.partition(np.abs(x), int(0.9999 * x.size))
    keys = (x.view(np.uint32) >> 16).astype(np.uint16)
    yield "18 key histogram bf16 normal", keys.nbytes, lambda: np.bincount(keys, minlength=65536)


def torch_rows(torch, x):
    """Rows of torch."""
    tensor = torch.from_numpy(x)
    grad = torch.ones_like(tensor)
    yield (
        "17 fake_quantize int8 f32 tensor",
        2 * x.nbytes,
        lambda: torch.fake_quantize_per_tensor_affine(tensor, 0.03, 0, -127, 127),
    )
    mask = torch.ops.aten.fake_quantize_per_tensor_affine_cachemask(tensor, 0.03, 0, -127, 127)[1]
    yield (
        "17 straight-through from mask f32",
        3 * x.nbytes,
        lambda: torch.ops.aten.fake_quantize_per_tensor_affine_cachemask_backward(grad, mask),
    )
    yield "17 quantize e4m3 f32 tensor", x.nbytes + x.size, lambda: tensor.to(torch.float8_e4m3fn)
    yield "18 key histogram f32 normal", x.nbytes, lambda: torch.histc(tensor, 2048)
    yield "18 percentile f32 99.99", x.nbytes, lambda: torch.kthvalue(tensor, int(0.9999 * x.size))
    yield "18 percentile f32 99.99 (sort)", x.nbytes, lambda: torch.sort(tensor)
    m, n, k = 512, 1024, 1024
    codes = torch.randint(-128, 128, (m, k), dtype=torch.int8)
    weights = torch.randint(-128, 128, (n, k), dtype=torch.int8).t()
    moved = m * k + n * k + 4 * m * n
    # The product alone, also beside the layer.
    for row in "20 int8 product 512x1024x1024", "20 int8 linear 512x1024x1024, f32":
        yield row, moved, lambda: torch._int_mm(codes, weights)


def onnxruntime_rows(ort, x):
    """QuantizeLinear and DequantizeLinear in one session; needs the package onnx as well."""
    try:
        from onnx import TensorProto, helper
    except ImportError:
        return
    scalar = lambda name, kind, value: helper.make_tensor(name, kind, [], [value])
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
        ],
        "fake_quantize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [COUNT])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [COUNT])],
        [scalar("s", TensorProto.FLOAT, 0.03), scalar("z", TensorProto.INT8, 0)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    yield "17 fake_quantize int8 f32 tensor", 2 * x.nbytes, lambda: session.run(None, {"x": x})


def calibration_rows():
    """Entropy of every activation tensor, collected and computed, in modelopt and ONNX Runtime."""
    try:
        import torch
        from safetensors import safe_open
    except ImportError:
        return
    with safe_open(ACTIVATIONS, "pt") as file:
        tensors = [file.get_tensor(name) for name in file.keys()]
    num_bytes = sum(tensor.nbytes for tensor in tensors)
    try:
        from modelopt.torch.quantization.calib import HistogramCalibrator

        def modelopt_entropy():
            for tensor in tensors:
                calibrator = HistogramCalibrator(8, None, False, num_bins=2048)
                calibrator.collect(tensor.float())
                calibrator.compute_amax("entropy")

        yield "19 calibrate activations", "modelopt", num_bytes, modelopt_entropy
    except ImportError:
        print("modelopt is not installed")
    try:
        from onnxruntime.quantization.calibrate import HistogramCollector

        def onnxruntime_entropy():
            for tensor in tensors:
                collector = HistogramCollector(
                    method="entropy", symmetric=True, num_bins=2048, num_quantized_bins=128,
                    percentile=99.99, scenario="same",
                )
                with contextlib.redirect_stdout(io.StringIO()):  # it reports its progress
                    collector.collect({"x": [tensor.float().numpy()]})
                    collector.compute_collection_result()

        yield "19 calibrate activations", "onnxruntime", num_bytes, onnxruntime_entropy
    except ImportError:
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuqat", help="rows of scripts/bench_cpu.sh --json, of the same run")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    ours = {}
    if arguments.cuqat:
        with open(arguments.cuqat, encoding="utf-8") as file:
            ours = {row["row"]: row for row in json.load(file)}

    x = np.random.default_rng(0).standard_normal(COUNT, dtype=np.float32)
    rows = [(name, "numpy", size, work) for name, size, work in numpy_rows(x)]
    torch = None
    try:
        import torch

        torch.set_num_threads(arguments.threads)
        rows += [(name, "torch", size, work) for name, size, work in torch_rows(torch, x)]
    except ImportError:
        print("torch is not installed")
    try:
        import onnxruntime

        rows += [(n, "onnxruntime", s, w) for n, s, w in onnxruntime_rows(onnxruntime, x)]
    except ImportError:
        print("onnxruntime is not installed")
    rows += list(calibration_rows())

    copies = Copies(torch)
    print(f"{'row':36}{'library':13}{'seconds':>10}{'copies':>10}{'x cuqat':>10}")
    for name, library, num_bytes, work in rows:
        # Long rows are timed once: their spread is far below the ratio.
        repeats = 1 if name.startswith("19") or "sort" in name else arguments.repeats
        seconds, ratio = median_seconds(work, copies.of(num_bytes), repeats)
        own = ours.get(name.split(" (")[0])
        times = f"{seconds / own['seconds']:10.1f}" if own else f"{'-':>10}"
        print(f"{name:36}{library:13}{seconds:10.4f}{ratio:10.1f}{times}", flush=True)


if __name__ == "__main__":
    main()
