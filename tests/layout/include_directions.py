"""Checks who includes whom (docs/architecture.md, the table of layers).

Every file of the tree belongs to a layer, and each layer lists the project headers it may include.
"""
import pathlib
import re
import sys

CUDA_FILES = [path.name for path in (pathlib.Path(sys.argv[1]) / "cuda").glob("*.*h*")]

# Folder -> prefixes of the project headers that its files may include.
ALLOWED = {
    "include/cuqat/scalar": ["cuqat/scalar/", "cuqat/format.hpp", "cuqat/host_device.hpp"],
    "include/cuqat": ["cuqat/"],
    "src/reference": ["reference/", "host/operation_table.hpp", "cuqat/"],
    "src/original": ["original/", "cuqat/original.hpp", "cuqat/error.hpp"],
    "src/cpu": ["cpu/", "host/operation_table.hpp", "cuqat/"],
    "src/host": ["host/", "reference/reference_backend.hpp", "cpu/cpu_backend.hpp", "cuqat/"],
    "src/calibration": ["calibration/", "host/enumerators.hpp", "cuqat/"],
    "src/io": ["io/", "cuqat/"],
    "src/mpi": ["mpi/", "cuqat/"],
    "src/files": ["io/", "host/layer_parts.hpp", "cuqat/"],
    "src/nccl": ["cuqat/"],
    "src/cli": ["cli/", "io/", "mpi/", "cuqat/"],
    "src/device": ["device/", "host/arguments.hpp", "host/enumerators.hpp",
                   "host/parameters_version.hpp",
                   "host/gemm_arguments.hpp", "host/layer_arguments.hpp", "host/layer_parts.hpp",
                   "calibration/equalization.hpp",
                   "calibration/methods.hpp", "calibration/source.hpp", "cuqat/", "launchers.hpp",
                   "products.hpp", "check.hpp"],
    # Siblings by their bare names.
    "cuda": CUDA_FILES + ["cuqat/"],
}
# Folder -> prefixes that are refused although a prefix above allows them.
REFUSED = {
    "include/cuqat": ["cuqat/scalar/"],
    "src/reference": ["cuqat/scalar/"],
    "src/io": ["cuqat/scalar/"],
    "src/cli": ["cuqat/scalar/"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
ANGLED_PROJECT = re.compile(r"^\s*#\s*include\s*<cuqat/")


def layer_of(path: str) -> str | None:
    """The deepest listed folder that the file is in."""
    matches = [folder for folder in ALLOWED if path.startswith(folder + "/")]
    return max(matches, key=len) if matches else None


def problems_of(root: pathlib.Path, file: pathlib.Path) -> list[str]:
    path = file.relative_to(root).as_posix()
    layer = layer_of(path)
    if layer is None:
        return [f"{path}: its folder is in no layer"]
    problems = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if ANGLED_PROJECT.match(line):
            problems.append(f"{path}:{number}: project headers are included with quotes")
        match = INCLUDE.match(line)
        if not match:
            continue
        header = match.group(1)
        allowed = any(header.startswith(prefix) for prefix in ALLOWED[layer])
        refused = any(header.startswith(prefix) for prefix in REFUSED.get(layer, []))
        if not allowed or refused:
            problems.append(f"{path}:{number}: {layer} may not include {header}")
    return problems


def main() -> int:
    root = pathlib.Path(sys.argv[1])
    files = [
        file
        for top in ("include", "src", "cuda")
        for file in sorted((root / top).rglob("*"))
        if file.suffix in (".hpp", ".cpp", ".cuh", ".cu")
    ]
    if not files:
        print("no source files found")
        return 1
    problems = [problem for file in files for problem in problems_of(root, file)]
    print("\n".join(problems) if problems else f"{len(files)} files include only what they may")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
