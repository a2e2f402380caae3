"""Prints what the compiler says of the kernels for sm_90, one representative of each, as a table.

Usage: kernel_resources.py FOLDER [--all]   of the logs of kernels_under_nvcc.sh; --all: every kernel

Blocks are those of 256 threads that the registers of a multiprocessor let run at once. Shared memory
is asked for at the launch, below 1 KiB, and never decides.
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
# Of the many instantiations: 16-bit elements, int8, rounding to nearest even.
REPRESENTATIVE = re.compile(r"<(cuqat::bfloat16|unsigned short)(, .*Format\)0, .*Rounding\)0.*)?>$")


def blocks_at_once(registers: int) -> int:
    of_a_warp = -(-registers * 32 // REGISTER_UNIT) * REGISTER_UNIT
    # Registers lie in four parts, a warp in one of them.
    warps = min(REGISTERS // 4 // of_a_warp * 4, MAX_WARPS)
    return warps // WARPS_OF_A_BLOCK


def demangle(names: list[str]) -> list[str]:
    text = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True,
                          check=True).stdout
    # Without the return type and the parameters, which begin at the last parenthesis of depth 0.
    return [re.sub(r"^void |\(cuqat::gpu::PackLayout.*$", "", line) for line in text.splitlines()]


def main() -> None:
    logs = sorted(pathlib.Path(sys.argv[1]).glob("ptxas_sm_90_*.log"))
    found = [entry for log in logs for entry in ENTRY.findall(log.read_text())]
    names = demangle([name for name, _ in found])
    print(f"| {'kernel':48} | registers | blocks | warps of {MAX_WARPS} |")
    print(f"|{'-' * 50}|---|---|---|")
    for name, registers in sorted(zip(names, (int(registers) for _, registers in found))):
        if "--all" not in sys.argv and not REPRESENTATIVE.search(name):
            continue
        short = re.sub(r"cuqat::(gpu::)?(scalar::)?", "", name)
        if "--all" not in sys.argv:
            with_statistics = ", with statistics" if ", true>" in name else ""
            short = f"`{short.split('<')[0]}`{with_statistics}"
        blocks = blocks_at_once(registers)
        print(f"| {short:48} | {registers} | {blocks} | {blocks * WARPS_OF_A_BLOCK} |")


if __name__ == "__main__":
    main()
