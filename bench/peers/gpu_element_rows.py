"""Rows 1 to 11 and 16: what quantizes, counts and calibrates."""
import math

import torch

from gpu_timing import Row, compiled, in_cuda_graph

COLUMNS = 16384  # as bench/gpu/matrix.hpp
INT8_SCALE = 3.8906 / 127.5
E4M3_MAX = 448.0
E4M3_SCALE = 5.0 / E4M3_MAX
E4M3 = torch.float8_e4m3fn
aten = torch.ops.aten


def int8_eager(x, scale):
    y, mask = aten.fake_quantize_per_tensor_affine_cachemask(x, scale, 0, -128, 127)
    return y, mask, *torch.aminmax(x)


def int8_written_out(x, scale):
    """As one would write it for torch.compile; scale is a tensor."""
    code = torch.round(x.float() / scale)
    y = (torch.clamp(code, -128, 127) * scale).to(x.dtype)
    return y, (code >= -128) & (code <= 127), *torch.aminmax(x)


def int8_values(x, scale):
    return (torch.clamp(torch.round(x.float() / scale), -128, 127) * scale).to(x.dtype)


def int8_values_of_all(weights, scales):
    return [int8_values(w, s) for w, s in zip(weights, scales)]


def channel_eager(x, scale, axis):
    zero = torch.zeros_like(scale, dtype=torch.int32)
    y, mask = aten.fake_quantize_per_channel_affine_cachemask(x, scale, zero, axis, -128, 127)
    return y, mask, *torch.aminmax(x)


def int4_groups(x, group):
    groups = x.float().view(-1, group)
    scale = groups.abs().amax(1, keepdim=True) / 7
    scale = torch.where(scale == 0, 1.0, scale)
    return (torch.clamp(torch.round(groups / scale), -8, 7) * scale).to(x.dtype).view_as(x), scale


def e4m3_cast(x, scale):
    return torch.clamp(x.float() / scale, -E4M3_MAX, E4M3_MAX).to(E4M3)


def e4m3_rows(x):
    scale = x.float().abs().amax(1, keepdim=True) / E4M3_MAX
    return e4m3_cast(x, scale), scale


def int8_rows(x):
    scale = x.float().abs().amax(1, keepdim=True) / 127
    return torch.clamp(torch.round(x.float() / scale), -128, 127).to(torch.int8), scale


def tensor_statistics(x):
    low, high = torch.aminmax(x)
    return low, high, torch.isfinite(x).sum(), (x == 0).sum()


def forward_rows(x, n):
    scale = torch.tensor(INT8_SCALE, device=x.device)
    one_pass = compiled(int8_written_out)
    yield lambda: Row("1 fake_quantize int8 bf16 tensor, mask and statistics", n, 2 * n,
                      2 * n + n // 8, INT8_SCALE, torch=lambda: int8_eager(x, INT8_SCALE),
                      torch_compile=lambda: one_pass(x, scale))
    values = compiled(int8_values)
    yield lambda: Row("1 fake_quantize int8 bf16 tensor", n, 2 * n, 2 * n, INT8_SCALE,
                      torch=lambda: torch.fake_quantize_per_tensor_affine(x, INT8_SCALE, 0, -128,
                                                                          127),
                      torch_compile=lambda: values(x, scale))
    for axis in (0, 1):
        scales = torch.full((x.shape[axis],), INT8_SCALE, device=x.device)
        broadcast = scales.view(-1, 1) if axis == 0 else scales.view(1, -1)
        yield lambda axis=axis, scales=scales, broadcast=broadcast: Row(
            f"2 fake_quantize int8 bf16 channel {axis}, mask and statistics", n, 2 * n,
            2 * n + n // 8, INT8_SCALE, torch=lambda: channel_eager(x, scales, axis),
            torch_compile=lambda: one_pass(x, broadcast))
    for group in (32, 128):
        groups = compiled(int4_groups)
        yield lambda group=group, groups=groups: Row(
            f"3 fake_quantize_dynamic int4 bf16 group {group}", n, 2 * n, 2 * n + 4 * n // group,
            1.0, torch=lambda: int4_groups(x, group), torch_compile=lambda: groups(x, group))


def gradient_from_x(dy, x, scale):
    code = torch.round(x.float() / scale)
    return torch.where((code >= -128) & (code <= 127), dy, 0)


def gradient_from_mask(dy, mask):
    return dy * mask


def gradient_in_place(dy, mask):
    return dy.mul_(mask)


def filled_in_place(dy, clipped):
    return dy.masked_fill_(clipped, 0)


def backward_rows(x, n):
    dy = x.clone()
    scale = torch.tensor(INT8_SCALE, device=x.device)
    mask = aten.fake_quantize_per_tensor_affine_cachemask(x, INT8_SCALE, 0, -128, 127)[1]
    leaf = x.clone().requires_grad_()
    y = torch.fake_quantize_per_tensor_affine(leaf, INT8_SCALE, 0, -128, 127)
    from_x = compiled(gradient_from_x)
    yield lambda: Row("4 straight-through int8 bf16 from x", n, 4 * n, 2 * n, 0.0,
                      torch=lambda: gradient_from_x(dy, x, scale),
                      torch_compile=lambda: from_x(dy, x, scale))
    from_mask = compiled(gradient_from_mask)
    yield lambda: Row("4 straight-through bf16 from mask", n, 2 * n + n // 8, 2 * n, 0.0,
                      torch=lambda: aten.fake_quantize_per_tensor_affine_cachemask_backward(dy, mask),
                      torch_autograd=lambda: torch.autograd.grad(y, leaf, dy, retain_graph=True)[0],
                      torch_compile=lambda: from_mask(dy, mask))

    def of_its_own_dy(function, mask):
        """A way that finds nothing done by another; its own calls do the same work each time."""
        own = dy.clone()
        return lambda: function(own, mask)

    touched = n // 10_000 * 32
    clipped = ~mask  # what masked_fill_ takes
    yield lambda: Row("4 straight-through bf16 from mask in place", n, n // 8 + touched, touched, 0.0,
                      torch=of_its_own_dy(gradient_in_place, mask),
                      torch_masked_fill=of_its_own_dy(filled_in_place, clipped),
                      torch_compile=of_its_own_dy(compiled(gradient_in_place), mask),
                      torch_compile_masked_fill=of_its_own_dy(compiled(filled_in_place), clipped))


def cast_rows(x, n):
    scale = torch.tensor(E4M3_SCALE, device=x.device)
    cast = compiled(e4m3_cast)
    with_amax = lambda x, scale: (e4m3_cast(x, scale), x.abs().amax())
    cast_with_amax = compiled(with_amax)
    yield lambda: Row("5 quantize e4m3 bf16 tensor", n, 2 * n, n, 32.0,
                      torch=lambda: e4m3_cast(x, scale), torch_compile=lambda: cast(x, scale))
    yield lambda: Row("5 quantize e4m3 bf16 tensor and statistics", n, 2 * n, n, 32.0,
                      torch=lambda: with_amax(x, scale),
                      torch_compile=lambda: cast_with_amax(x, scale))
    for name, function, step in (("e4m3", e4m3_rows, 32.0), ("int8", int8_rows, 1.0)):
        fast = compiled(function)
        yield lambda name=name, function=function, step=step, fast=fast: Row(
            f"6 quantize_dynamic {name} bf16 row", n, 2 * n, n + 4 * x.shape[0], step,
            torch=lambda: function(x), torch_compile=lambda: fast(x))
    statistics_compiled = compiled(tensor_statistics)
    yield lambda: Row("7 statistics bf16 tensor", n, 2 * n, 0, 0.0,
                      torch=lambda: tensor_statistics(x),
                      torch_compile=lambda: statistics_compiled(x))


def patterns(x):
    return x.view(-1).view(torch.int16).to(torch.int32) & 0xffff


def sorted_counts(x):
    values, counts = torch.unique(patterns(x), return_counts=True)
    return torch.zeros(65536, dtype=counts.dtype, device=x.device).scatter(0, values.long(), counts)


def ranks_of_percentiles(n):
    """From 1 on, of the percentiles of bench/gpu/percentile_rows.cpp."""
    return [max(math.ceil(p / 100 * n), 1) for p in (99.0, 99.9, 99.99, 99.999, 100.0)]


def selected(x, ranks):
    return torch.stack([torch.kthvalue(x, rank).values for rank in ranks])


def entropy_by_modelopt(x):
    from modelopt.torch.quantization.calib import HistogramCalibrator
    calibrator = HistogramCalibrator(8, None, False)
    calibrator.collect(x)
    return calibrator.compute_amax("entropy")


def mse_by_torch(x):
    from torch.ao.quantization.observer import HistogramObserver
    observer = HistogramObserver(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric).to(x.device)
    observer(x.float())
    return observer.calculate_qparams()


def distribution_rows(x, n):
    yield lambda: Row("8 key histogram bf16 normal", n, 2 * n, 0, 0.0,
                      torch=lambda: torch.bincount(patterns(x), minlength=65536),
                      torch_unique=lambda: sorted_counts(x))
    ranks = ranks_of_percentiles(n)
    for name, width, magnitudes in (("bf16", 2, lambda: x.view(-1).abs()),
                                    ("f32", 4, lambda: x.view(-1).float().abs())):
        values = magnitudes()
        yield lambda name=name, width=width, values=values: Row(
            f"9 percentiles {name} five at once", n, width * n, 0, 0.0,
            torch=lambda: selected(values, ranks),
            torch_sort=lambda: torch.sort(values).values[[rank - 1 for rank in ranks]])
        del values
    yield lambda: Row("11 calibration bf16 entropy", n, 2 * n, 0, 0.0,
                      modelopt=lambda: entropy_by_modelopt(x))
    yield lambda: Row("11 calibration bf16 mse", n, 2 * n, 0, 0.0,
                      torch=lambda: mse_by_torch(x))


def small_rows(x, n):
    weights = x.view(-1)[:n // 300 * 300].view(300, -1, 64).unbind()
    scales = [torch.full((w.shape[0],), INT8_SCALE, device=x.device) for w in weights]
    zeros = [torch.zeros_like(s, dtype=torch.int32) for s in scales]
    moved = sum(w.numel() for w in weights)

    def each():
        return [torch.fake_quantize_per_channel_affine(w, s, z, 0, -128, 127)
                for w, s, z in zip(weights, scales, zeros)]

    columns = [s.view(-1, 1) for s in scales]
    values = compiled(int8_values_of_all)
    each_compiled = lambda: values(weights, columns)
    yield lambda: Row("16 fake_quantize int8 bf16 of 300 tensors, one launch", moved, 2 * moved,
                      2 * moved, INT8_SCALE, torch=each, torch_compile=each_compiled,
                      torch_compile_cuda_graph=in_cuda_graph(each_compiled),
                      torch_cuda_graph=in_cuda_graph(each))


def element_rows(x):
    """Makers of rows: their buffers live while the row does."""
    n = x.numel()
    small = x.view(-1)[:min(n, 300 * 64 * 1024)]
    for rows in (forward_rows, backward_rows, cast_rows, distribution_rows):
        yield from rows(x, n)
    yield from small_rows(small, small.numel() // (300 * 64) * (300 * 64))


def normal_matrix(count, device):
    period = torch.randn(1 << 20, generator=torch.Generator().manual_seed(17)).to(torch.bfloat16)
    rows = max(count // COLUMNS, 1)
    repeats = rows * COLUMNS // period.numel() + 1
    return period.to(device).repeat(repeats)[:rows * COLUMNS].view(rows, COLUMNS)
