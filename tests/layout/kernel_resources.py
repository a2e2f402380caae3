"""Prints what the compiler says of the kernels for sm_90, some instantiations of each, as a table.

Usage: kernel_resources.py FOLDER   of the logs of kernels_under_nvcc.sh

An error: a kernel that BYTES_AN_ELEMENT does not have, one that only it has, no logs.
"""
import pathlib
import re
import subprocess
import sys

REGISTERS = 65536  # of a multiprocessor
REGISTER_UNIT = 256  # that a warp gets its registers in
MAX_WARPS = 64
WARPS_OF_A_BLOCK = 8
ENTRY = re.compile(r"Compiling entry function '(\w+)'[\s\S]*?Used (\d+) registers")

# The instantiations of a kernel that are shown are those for the first of these types it has.
ELEMENT_TYPES = ["bfloat16", "unsigned short", "float", None]
OTHER_ELEMENT_TYPES = ["double", "float16", "unsigned int", "unsigned long"]
QUANTIZER = "ElementQuantizer"
INT8 = f"{QUANTIZER}<(cuqat::Format)0, (cuqat::Rounding)0>"
E4M3 = f"{QUANTIZER}<(cuqat::Format)2, (cuqat::Rounding)0>"
SHOWN_WITH_E4M3 = {"quantize_kernel", "quantize_transposed_kernel"}

# With elements of two bytes, as the heads of cuda/*.cuh say.
BYTES_AN_ELEMENT = {
    "amax_history_kernel": "a scale: 8 and the history",
    "backward_from_mask_kernel": "4 1/8",
    "dequantize_kernel": "3",
    "dequantize_nibbles_kernel": "2 1/2",
    "dynamic_quantize_by_blocks_kernel": "2 and the output",
    "dynamic_quantize_by_lanes_kernel": "2 and the output",
    "fake_quantize_backward_kernel": "6",
    "fake_quantize_batch_kernel": "4; with mask 4 1/8",
    "fake_quantize_kernel": "4; with mask 4 1/8",
    "learned_scale_kernel": "6",
    "learned_scale_strip_kernel": "6",
    "minmax_scales_kernel": "few: a thread a scale",
    "moving_average_kernel": "few: a thread a scale",
    "quantize_kernel": "3",
    "quantize_nibbles_kernel": "2 1/2",
    "quantize_transposed_kernel": "4; transpose alone 3",
    "scale_statistics_kernel": "2",
    "scale_statistics_start_kernel": "none: 56 a scale",
    "scale_statistics_strip_kernel": "2",
    "statistics_kernel": "2",
    "sum_round_kernel": "none: 16 a sum",
    "zero_clipped_kernel": "1/8; a sector where clipped",
}


def without_parameters(function: str) -> str:
    """Cuts the parameters, which are the last pair of parentheses, and the return type."""
    depth = 0
    for i in range(len(function) - 1, -1, -1):
        depth += (function[i] == ")") - (function[i] == "(")
        if depth == 0:
            return function[:i].removeprefix("void ")
    raise ValueError(f"not a function: {function}")


def template_and_arguments(name: str) -> tuple[str, list[str]]:
    """a::b<c, d<e, f>> is b and [c, d<e, f>]."""
    begin = name.find("<")
    if begin < 0 or not name.endswith(">"):
        return name.split("::")[-1], []
    arguments = [""]
    depth = 0
    for letter in name[begin + 1:-1]:
        depth += (letter in "<(") - (letter in ">)")
        if letter == "," and depth == 0:
            arguments.append("")
        else:
            arguments[-1] += letter
    return name[:begin].split("::")[-1], [argument.strip() for argument in arguments]


class Kernel:
    """An instantiation. Its label is its name without what all that are shown have in common."""

    def __init__(self, function: str, registers: int) -> None:
        self.registers = registers
        self.element = self.quantizer = None
        name = without_parameters(function)
        self.template = template_and_arguments(name)[0]
        self.label = self._shortened(name)

    def _shortened(self, name: str) -> str | None:
        """Notes the element's type and the quantizer, and leaves them and namespaces out."""
        template, arguments = template_and_arguments(name)
        if template in ELEMENT_TYPES + OTHER_ELEMENT_TYPES:
            self.element = template
            return None
        if template == QUANTIZER:
            self.quantizer = f"{QUANTIZER}<{', '.join(arguments)}>"
            return None
        kept = [short for short in map(self._shortened, arguments) if short is not None]
        return f"{template}<{', '.join(kept)}>" if kept else template


def shown(kernels: list[Kernel]) -> list[Kernel]:
    """Of the kernels of one template, in the order of their labels."""
    element = next(element for element in ELEMENT_TYPES
                   if any(kernel.element == element for kernel in kernels))
    quantizers = (None, E4M3 if kernels[0].template in SHOWN_WITH_E4M3 else INT8)
    chosen = [kernel for kernel in kernels
              if kernel.element == element and kernel.quantizer in quantizers]
    if not chosen:
        sys.exit(f"{kernels[0].template}: no instantiation is representative")
    return sorted(chosen, key=lambda kernel: kernel.label)


def blocks_at_once(registers: int) -> int:
    of_a_warp = -(-registers * 32 // REGISTER_UNIT) * REGISTER_UNIT
    # Registers lie in four parts, a warp in one of them.
    warps = min(REGISTERS // 4 // of_a_warp * 4, MAX_WARPS)
    return warps // WARPS_OF_A_BLOCK


def read_kernels(folder: pathlib.Path) -> list[Kernel]:
    found = [entry for log in sorted(folder.glob("ptxas_sm_90_*.log"))
             for entry in ENTRY.findall(log.read_text())]
    demangled = subprocess.run(["c++filt"], input="\n".join(name for name, _ in found),
                               capture_output=True, text=True, check=True).stdout.splitlines()
    return [Kernel(function, int(registers))
            for function, (_, registers) in zip(demangled, found, strict=True)]


def main() -> None:
    of_template: dict[str, list[Kernel]] = {}
    for kernel in read_kernels(pathlib.Path(sys.argv[1])):
        of_template.setdefault(kernel.template, []).append(kernel)
    differing = sorted(of_template.keys() ^ BYTES_AN_ELEMENT.keys())
    if differing:
        sys.exit(f"only in the logs or only in BYTES_AN_ELEMENT: {', '.join(differing)}")
    print(f"| kernel | bytes an element | registers | blocks | warps of {MAX_WARPS} |")
    print("|---|---|---|---|---|")
    for template, kernels in sorted(of_template.items()):
        for kernel in shown(kernels):
            blocks = blocks_at_once(kernel.registers)
            print(f"| `{kernel.label}` | {BYTES_AN_ELEMENT[template]} | {kernel.registers} "
                  f"| {blocks} | {blocks * WARPS_OF_A_BLOCK} |")


if __name__ == "__main__":
    main()
