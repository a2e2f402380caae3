"""The rows on a GPU in what a user would pick instead: PyTorch, eager and compiled.

In turns with a copy of the bytes that must be moved, by events on the device, medians of at least 30
samples; a read comes before both, and a turn whose copies before and after differ by more than 3 %
is dropped. Calls of less than 200 us are timed several at once. Unlike cuqat's own rows
(bench/gpu/measure.hpp) a way has one set of buffers ("cold" where that is more than four times the
L2 cache), and runs as a user runs it, launched by the host, unless its name says "cuda_graph".
Products (rows 12 to 15) take turns with bf16 products of the same shape in place of a copy.
scripts/gpu_check.sh --peers runs this.

--dry-run: no GPU and no times; runs every row on the CPU with few elements and compares the results
of its ways. Outputs that two ways share have the same shape and type, and differ by a step at most,
those of products by a 64th of the largest.
"""
import argparse
import json
import sys

import torch

from gpu_element_rows import COLUMNS, element_rows, normal_matrix
from gpu_product_rows import product_rows
from gpu_timing import compared, first_line, measured_row


def all_rows(x):
    """Makers of rows: their buffers live while the row does."""
    yield from element_rows(x)
    yield from product_rows(x)


def dry_run():
    failed = False
    for make in all_rows(normal_matrix(40 * COLUMNS, "cpu")):
        row = make()
        problem, exceptions = compared(row)
        failed |= bool(problem)
        for exception in exceptions:
            if not isinstance(exception, ModuleNotFoundError):
                raise exception
            problem = problem or f"not run: no {exception.name}"
        print(f"{row.name:64} {', '.join(row.ways):32} {problem or 'agree'}", flush=True)
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1 << 28)
    parser.add_argument("--json")
    parser.add_argument("--dry-run", action="store_true")
    arguments = parser.parse_args()
    if arguments.dry_run:
        return dry_run()
    if not torch.cuda.is_available():
        print("SKIPPED, NOTHING WAS MEASURED: PyTorch finds no GPU")
        return 77
    rows = []
    failed = False
    for make in all_rows(normal_matrix(arguments.count, "cuda")):
        row = make()
        problem = compared(row)[0]  # measuring says which ways cannot run
        failed |= bool(problem)
        for library, way in row.ways.items():
            rows.append({"row": row.name, "library": library, "cache": "", "error": problem}
                        if problem else measured_row(row, library, way))
            print(json.dumps(rows[-1]), flush=True)
    if arguments.json:
        result = {"torch": torch.__version__, "torch_cuda": torch.version.cuda, "rows": rows}
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
