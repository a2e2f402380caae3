"""Rows 12 to 15: products of matrices, layers of codes, and a step of a layer that trains, beside the
same in bf16."""
import torch
import torch.nn.functional as F

from gpu_element_rows import E4M3, E4M3_SCALE, INT8_SCALE, e4m3_cast, int8_rows
from gpu_timing import ProductRow, compiled

PRODUCTS = [(8192, 8192, 8192), (16384, 4096, 4096)]  # m, n, k
STEPS = [(16384, 4096, 4096), (8192, 8192, 8192)]


def sample_of(shape, count):
    """As bench/gpu/contest.cpp: fewer products where tensors have fewer elements than 2^28."""
    most = count * count / (1 << 17)
    while shape[0] * shape[1] * shape[2] > most and min(shape) > 16:
        shape = tuple(extent // 2 for extent in shape)
    return shape


def matrix(x, rows, columns, shift):
    """Numbers of x again and again, from another place for each shift."""
    count = rows * columns
    period = x.view(-1)[:1 << 20].roll(shift)
    return period.repeat(count // period.numel() + 1)[:count].view(rows, columns)


def int8_codes(x):
    return torch.clamp(torch.round(x.float() / INT8_SCALE), -128, 127).to(torch.int8)


def int8_product(x, w):
    return torch._int_mm(x, w.t())


def fp8_product(x, w, x_scale, w_scale, bias):
    return torch._scaled_mm(x, w.t(), x_scale, w_scale, bias=bias, out_dtype=torch.bfloat16)


def fp8_product_written_out(x, w, x_scale, w_scale, bias):
    return ((x.float() @ w.float().t()) * (x_scale * w_scale) + bias.float()).to(torch.bfloat16)


def has_fp8_products(device):
    """torch._scaled_mm is for GPUs, and not in every PyTorch for CPUs: there the same is written
    out."""
    if device.type == "cuda":
        return True
    try:
        one = torch.ones(16, 16, device=device).to(E4M3)
        scale = torch.ones(1, device=device)
        rows = torch.ones(16, 1, device=device)
        bias = torch.ones(16, device=device, dtype=torch.bfloat16)
        fp8_product(one, one, scale, scale, bias)
        fp8_product(one, one, rows, rows.t(), bias)
    except (RuntimeError, NotImplementedError):
        return False
    return True


def dequantized_product(x, w, x_zero, w_sums, scale, bias):
    sums = torch._int_mm(x, w.t()) - x_zero * w_sums
    return (sums.float() * scale + bias).to(torch.bfloat16)


def requantized_product(x, w, x_zero, w_sums, scale, bias, y_scale):
    sums = torch._int_mm(x, w.t()) - x_zero * w_sums
    y = sums.float() * scale + bias
    return torch.clamp(torch.round(y / y_scale), -128, 127).to(torch.int8)


def code_rows(x, shape):
    m, n, k = shape
    x, w = matrix(x, m, k, 7919), matrix(x, n, k, 2 * 7919)
    bf16 = lambda: F.linear(x, w)
    bias = torch.linspace(-3, 3, n, device=x.device)
    x8, w8 = int8_codes(x), int8_codes(w)
    read, element_bytes = (m + n) * k, {"int32": 4, "bf16": 2, "int8": 1}

    def row(name, output, **ways):
        return lambda: ProductRow(name, shape, 1, read, m * n * element_bytes[output], bf16, **ways)

    yield row("12 int8_gemm", "int32", torch=lambda: int8_product(x8, w8))
    x_fp8 = e4m3_cast(x, E4M3_SCALE)
    w_fp8 = e4m3_cast(w, E4M3_SCALE)
    one = torch.full((1,), E4M3_SCALE, device=x.device)
    of_x = torch.full((m, 1), E4M3_SCALE, device=x.device)
    of_w = torch.full((1, n), E4M3_SCALE, device=x.device)
    narrow_bias = bias.to(torch.bfloat16)
    product = fp8_product if has_fp8_products(x.device) else fp8_product_written_out
    for name, x_scale, w_scale in (("", one, one), (", a scale a row", of_x, of_w)):
        yield row(f"12 fp8_linear e4m3 to bf16{name}", "bf16",
                  torch=lambda x_scale=x_scale, w_scale=w_scale: product(
                      x_fp8, w_fp8, x_scale, w_scale, narrow_bias))
    w_sums = w8.int().sum(1, dtype=torch.int32)
    arguments = (x8, w8, 3, w_sums, torch.full((n,), INT8_SCALE ** 2, device=x.device), bias)
    dequantized = compiled(dequantized_product)
    yield row("13 int8_linear to bf16, affine", "bf16",
              torch=lambda: dequantized_product(*arguments),
              torch_compile=lambda: dequantized(*arguments))
    requantized = compiled(requantized_product)
    yield row("13 int8_linear to int8, affine", "int8",
              torch=lambda: requantized_product(*arguments, 2.0),
              torch_compile=lambda: requantized(*arguments, 2.0))


def plain_forward(x, weight, bias):
    return F.linear(x, weight.to(x.dtype), bias.to(x.dtype))


def numbers_forward(x, weight, bias):
    """What PyTorch's modules of fake quantization do, the scales of weights being observed."""
    scale = (weight.detach().abs().amax(1) / 127).float()
    zero = torch.zeros_like(scale, dtype=torch.int32)
    x = torch.fake_quantize_per_tensor_affine(x, INT8_SCALE, 0, -127, 127)
    weight = torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -127, 127)
    return F.linear(x, weight.to(x.dtype), bias.to(x.dtype))


class CodesForward(torch.autograd.Function):
    """The real product of codes forward; backward in bf16, straight through."""

    @staticmethod
    def forward(context, x, weight, bias):
        codes = int8_codes(x)
        weight_codes, scale = int8_rows(weight)
        context.save_for_backward(codes, weight_codes, scale, x.abs() <= 127.5 * INT8_SCALE)
        sums = torch._int_mm(codes, weight_codes.t())
        return (sums.float() * (INT8_SCALE * scale.t()) + bias).to(x.dtype)

    @staticmethod
    def backward(context, dy):
        codes, weight_codes, scale, inside = context.saved_tensors
        weight = (weight_codes.float() * scale).to(dy.dtype)
        x = (codes.float() * INT8_SCALE).to(dy.dtype)
        return dy @ weight * inside, (dy.t() @ x).float(), dy.float().sum(0)


def codes_forward(x, weight, bias):
    return CodesForward.apply(x, weight, bias)


def step(forward, leaves, dy):
    y = forward(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, dy)]


def step_rows(x, shape):
    m, n, k = shape
    dy = matrix(x, m, n, 3 * 7919)
    leaves = [matrix(x, m, k, 7919).clone().requires_grad_(),
              (matrix(x, n, k, 2 * 7919).float() / k ** 0.5).requires_grad_(),
              torch.zeros(n, device=x.device).requires_grad_()]
    bf16 = lambda: step(plain_forward, leaves, dy)
    moved = 2 * m * (k + n) + 4 * n * k
    for name, forward in (("14 layer step int8, product of numbers", numbers_forward),
                          ("15 layer step int8, product of codes", codes_forward)):
        fast = compiled(forward)
        yield lambda name=name, forward=forward, fast=fast: ProductRow(
            name, shape, 3, moved, moved, bf16, torch=lambda: step(forward, leaves, dy),
            torch_compile=lambda: step(fast, leaves, dy))


def product_rows(x):
    """Makers of rows, of products as many as x has elements."""
    for shape in PRODUCTS:
        yield from code_rows(x, sample_of(shape, x.numel()))
    for shape in STEPS:
        yield from step_rows(x, sample_of(shape, x.numel()))
