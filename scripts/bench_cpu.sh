#!/bin/sh
# bench_cpu.sh [--json OUT] [--quick] [--peers]: builds the preset "cpu", runs the CPU benchmarks,
# prints a table, and writes rows {"row", "seconds", "bytes", "copy_ratio"} to OUT.
# --quick: 2^22 elements and few repetitions, to see that everything runs.
# --peers: then the same work in torch, numpy, onnxruntime and modelopt, as far as they are installed
#          for the interpreter PYTHON (python3 by default), with their ratios to cuqat.
# CUQAT_BENCH_ACTIVATIONS names another safetensors file for row 19.
set -eu
cd "$(dirname "$0")/.."

json=
min_time=1
peers=
while [ $# -gt 0 ]; do
  case $1 in
    --json) json=$2; shift 2 ;;
    --quick) min_time=0.05; export CUQAT_BENCH_COUNT=4194304; shift ;;
    --peers) peers=yes; shift ;;
    *) echo "usage: $0 [--json OUT] [--quick] [--peers]" >&2; exit 2 ;;
  esac
done

scripts/setup.sh g++ cmake ninja-build python3 libcli11-dev libfmt-dev nlohmann-json3-dev \
  libgtest-dev libgmock-dev librapidcheck-dev libbenchmark-dev libboost-context-dev libdnnl-dev

programs="fake_quant_bench histogram_bench percentile_bench calibration_bench gemm_bench"
cmake --preset cpu > /dev/null
# shellcheck disable=SC2086
cmake --build --preset cpu --target $programs

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
for program in $programs; do
  "build/cpu/bin/$program" --benchmark_min_time=$min_time --benchmark_out_format=json \
    --benchmark_out="$results/$program.json"
done

rows=$results/rows
python3 - "$rows" "$results"/*.json <<'PYTHON'
import json
import sys

rows = []
failed = False
for path in sys.argv[2:]:
    with open(path) as file:
        for run in json.load(file)["benchmarks"]:
            name = run["name"].removesuffix("/manual_time")
            if run.get("error_occurred"):
                print(f"{name}: {run['error_message']}", file=sys.stderr)
                failed = True
                continue
            rows.append({"row": name, "seconds": run["real_time"] / 1e3, "bytes": int(run["bytes"]),
                         "copy_ratio": run["copy_ratio"]})
print(f"{'row':48} {'ms':>9} {'time / copy':>12}")
for row in rows:
    print(f"{row['row']:48} {row['seconds'] * 1e3:9.2f} {row['copy_ratio']:12.2f}")
with open(sys.argv[1], "w") as file:
    json.dump(rows, file, indent=1)
    file.write("\n")
sys.exit(1 if failed else 0)
PYTHON
[ -z "$json" ] || cp "$rows" "$json"
[ -z "$peers" ] || "${PYTHON:-python3}" bench/peers/cpu_peers.py --cuqat "$rows"
