"""Prints what the compiler says of the kernels for sm_90, some instantiations of each, as a table.

Usage: kernel_resources.py FOLDER   of the logs of kernels_under_nvcc.sh
       kernel_resources.py FOLDER README NVCC   only says whether the README has this table. Exits
           with 77 where NVCC is not of the release that the README names

An error: a kernel that BYTES_AN_ELEMENT does not have, one that only it has, no logs.
"""
import pathlib
import re
import subprocess
import sys

REGISTERS = 65536  # of a multiprocessor
REGISTER_UNIT = 256  # that a warp gets its registers in
MAX_WARPS = 64
MAX_BLOCKS = 32
WARPS_OF_A_BLOCK = 8  # of those that OTHER_WARPS does not have
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
    "add_bins_kernel": "4, of f32",
    "add_bias_kernel": "6",
    "add_counts_kernel": "none: 24 a count",
    "add_part_kernel": "none: 20 a sum, 12 the first",
    "amax_history_kernel": "a scale: 8 and the history",
    "backward_from_mask_kernel": "4 1/8",
    "binned_distribution_kernel": "the bins, twice",
    "candidate_cost_kernel": "the values",
    "choose_finalist_kernel": "few: a thread",
    "clear_statistics_kernel": "few: a thread",
    "coarse_bins_kernel": "the counts",
    "coarse_distribution_kernel": "the counts or bins, twice",
    "code_sums_kernel": "1 a code",
    "count_bins_kernel": "4, of f32",
    "dequantize_kernel": "3",
    "dequantize_nibbles_kernel": "2 1/2",
    "dynamic_quantize_by_blocks_kernel": "2 and the output",
    "dynamic_quantize_by_lanes_kernel": "2 and the output",
    "entropy_bins_kernel": "the values",
    "entropy_divergence_kernel": "the bins",
    "entropy_finalist_kernel": "the divergences",
    "equalization_factors_kernel": "few: a thread a channel",
    "f64_product_kernel": "none: 2 (1/64 + 1/128) a step of a sum",
    "fake_quantize_backward_kernel": "6",
    "fake_quantize_batch_kernel": "4; with mask 4 1/8",
    "fake_quantize_kernel": "4; with mask 4 1/8",
    "finalist_element_errors_kernel": "4, of f32, for a finalist",
    "finalist_errors_kernel": "the values",
    "finalist_key_errors_kernel": "the counts",
    "gather_rows_kernel": "none: 8 a sum",
    "gather_scales_kernel": "8, of f32",
    "gemm_epilogue_kernel": "6, to codes 5; of deep sums 4 more",
    "key_distribution_kernel": "the counts, twice",
    "key_histogram_kernel": "2",
    "learned_scale_kernel": "6",
    "learned_scale_strip_kernel": "6",
    "low_counts_kernel": "4, of f32",
    "merge_statistics_kernel": "few: a thread",
    "minmax_finalist_kernel": "few: a thread",
    "minmax_scales_kernel": "few: a thread a scale",
    "moving_average_kernel": "few: a thread a scale",
    "observe_fake_quantize_kernel": "4; with mask 4 1/8",
    "pad_codes_kernel": "2 a code",
    "percentile_finalist_kernel": "few: a thread",
    "plan_round_kernel": "the candidates",
    "quantization_error_kernel": "2",
    "quantization_error_start_kernel": "none: 64 a scale",
    "quantization_error_strip_kernel": "2",
    "quantize_kernel": "3",
    "quantize_nibbles_kernel": "2 1/2",
    "quantize_transposed_kernel": "4; transpose alone 3",
    "range_scales_kernel": "few: a thread a scale",
    "row_error_kernel": "none: 16 an output",
    "scale_elements_kernel": "4",
    "scale_statistics_kernel": "2",
    "scale_statistics_start_kernel": "none: 56 a scale",
    "scale_statistics_strip_kernel": "2",
    "search_finalists_kernel": "the candidates",
    "select_keys_kernel": "the counts, twice",
    "select_low_kernel": "the counts, twice",
    "signed_entropy_bins_kernel": "the values",
    "sort_keys_kernel": "4",
    "sorted_distribution_kernel": "2 and the values",
    "sorted_percentiles_kernel": "few: a thread a rank",
    "statistics_kernel": "2",
    "sum_round_kernel": "none: 16 a sum",
    "total_error_kernel": "none: 16 a row",
    "window_divergence_kernel": "the bins",
    "window_finalist_kernel": "the divergences",
    "zero_clipped_kernel": "1/8; a sector where clipped",
}

OTHER_WARPS = {
    "choose_finalist_kernel": 1,
    "clear_statistics_kernel": 1,
    "coarse_distribution_kernel": 16,
    "binned_distribution_kernel": 16,
    "entropy_bins_kernel": 16,
    "entropy_divergence_kernel": 2,
    "key_distribution_kernel": 16,
    "key_histogram_kernel": 32,
    "merge_statistics_kernel": 1,
    "minmax_finalist_kernel": 1,
    "observe_fake_quantize_kernel": 16,
    "percentile_finalist_kernel": 1,
    "select_keys_kernel": 32,
    "select_low_kernel": 32,
    "signed_entropy_bins_kernel": 16,
    "sorted_distribution_kernel": 16,
}
# Shared memory that the launch asks for leaves room for one block.
ONE_BLOCK = {"key_histogram_kernel", "observe_fake_quantize_kernel"}


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
    # One that has a quantizer and no element is of codes alone.
    chosen = [kernel for kernel in kernels
              if kernel.element in (element, None if kernel.quantizer else element)
              and kernel.quantizer in quantizers]
    if not chosen:
        sys.exit(f"{kernels[0].template}: no instantiation is representative")
    return sorted(chosen, key=lambda kernel: kernel.label)


def blocks_at_once(kernel: Kernel) -> tuple[int, int]:
    """Blocks, and their warps."""
    of_a_warp = -(-kernel.registers * 32 // REGISTER_UNIT) * REGISTER_UNIT
    # Registers lie in four parts, a warp in one of them.
    warps = min(REGISTERS // 4 // of_a_warp * 4, MAX_WARPS)
    warps_of_a_block = OTHER_WARPS.get(kernel.template, WARPS_OF_A_BLOCK)
    blocks = min(warps // warps_of_a_block, MAX_BLOCKS)
    if kernel.template in ONE_BLOCK:
        blocks = 1
    return blocks, blocks * warps_of_a_block


def read_kernels(folder: pathlib.Path) -> list[Kernel]:
    found = [entry for log in sorted(folder.glob("ptxas_sm_90_*.log"))
             for entry in ENTRY.findall(log.read_text())]
    demangled = subprocess.run(["c++filt"], input="\n".join(name for name, _ in found),
                               capture_output=True, text=True, check=True).stdout.splitlines()
    return [Kernel(function, int(registers))
            for function, (_, registers) in zip(demangled, found, strict=True)
            if not function.removeprefix("void ").startswith("cub::")]


def table(folder: pathlib.Path) -> str:
    of_template: dict[str, list[Kernel]] = {}
    for kernel in read_kernels(folder):
        of_template.setdefault(kernel.template, []).append(kernel)
    differing = sorted(of_template.keys() ^ BYTES_AN_ELEMENT.keys())
    if differing:
        sys.exit(f"only in the logs or only in BYTES_AN_ELEMENT: {', '.join(differing)}")
    lines = [f"| kernel | bytes an element | registers | blocks | warps of {MAX_WARPS} |",
             "|---|---|---|---|---|"]
    for template, kernels in sorted(of_template.items()):
        for kernel in shown(kernels):
            blocks, warps = blocks_at_once(kernel)
            lines.append(f"| `{kernel.label}` | {BYTES_AN_ELEMENT[template]} | {kernel.registers} "
                         f"| {blocks} | {warps} |")
    return "\n".join(lines) + "\n"


def check_readme(found: str, readme: str, nvcc: str) -> None:
    said = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    release = re.search(r"release ([\d.]+)", said)[1]
    if f"nvcc {release}" not in readme:
        print(f"SKIPPED, NOTHING WAS COMPARED: the table is not of nvcc {release}")
        sys.exit(77)
    if found not in readme:
        sys.exit(f"bench/README.md does not have this table (kernel_resources prints it):\n{found}")


def main() -> None:
    found = table(pathlib.Path(sys.argv[1]))
    if len(sys.argv) == 2:
        print(found, end="")
    else:
        check_readme(found, pathlib.Path(sys.argv[2]).read_text(), sys.argv[3])


if __name__ == "__main__":
    main()
