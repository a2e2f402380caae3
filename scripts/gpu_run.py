"""Runs the programs of a folder that scripts/gpu_check.sh has built on the GPU of this machine, and
writes what came of it as JSON, anew after each of them. Uses nothing but the standard library.

Exits with 0 where everything passed, 1 where anything failed or a whole suite was skipped, 77 where
there is no GPU. Single tests and rows that the device has no memory for are counted.
"""
from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

SKIPPED = 77
SANITIZER_STATUS = 86  # of a program that compute-sanitizer has something to say about
SANITIZER_TOOLS = ["memcheck", "racecheck", "initcheck", "synccheck"]
HERE = pathlib.Path(__file__).resolve().parent
SUMMARY = re.compile(r"=+ (?:ERROR SUMMARY: (\d+) error|RACECHECK SUMMARY: (\d+) hazard)")


def sample(quick: bool, sanitized: bool) -> dict[str, str]:
    """How much is run: all of it, a sample, or a smaller sample. Programs print what they leave out."""
    chosen = {}
    if quick or sanitized:
        stride = {(True, False): 13, (False, True): 31, (True, True): 97}[quick, sanitized]
        chosen = {"CUQAT_CASE_STRIDE": str(stride), "CUQAT_LARGE_COUNT": "1000000"}
    if quick:
        chosen["CUQAT_BENCH_COUNT"] = str(1 << 22)
    return chosen


def environment(variables: dict[str, str]) -> dict[str, str]:
    """Of this process, without what would change how much is run, and with the variables."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("GTEST_", "CUQAT_", "BENCHMARK_"))}
    return kept | variables


class Runner:
    def __init__(self, folder: pathlib.Path, scratch: pathlib.Path, quick: bool, time_limit: float):
        self.bin = folder / "bin"
        # Of a folder that was copied: what tests would look for in the tree.
        golden = folder / "seed_reference.safetensors"
        self.data = {"CUQAT_SEED_GOLDEN": str(golden.resolve())} if golden.exists() else {}
        self.scratch = scratch
        self.quick = quick
        self.time_limit = time_limit
        self.problems: list[str] = []

    def run(self, command: list[str], sanitized: bool = False) -> tuple[int, str, float]:
        """Exit status, output, and seconds. The output is also printed as it comes. A program that
        passes the time limit, with a kernel that hangs, say, is killed."""
        variables = sample(self.quick, sanitized)
        print("\n==", *(f"{k}={v}" for k, v in variables.items()), *command, flush=True)
        begin = time.monotonic()
        process = subprocess.Popen(command, env=environment(self.data | variables), text=True,
                                   errors="replace", stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        killer = threading.Timer(self.time_limit, os.killpg, (process.pid, signal.SIGKILL))
        killer.daemon = True
        killer.start()
        lines = []
        try:
            for line in process.stdout:
                lines.append(line)
                print(line, end="", flush=True)
            status = process.wait()
        except BaseException:  # interrupted: nothing is left running
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            killer.cancel()
        seconds = round(time.monotonic() - begin, 1)
        if status == -signal.SIGKILL and seconds >= self.time_limit:
            self.problems.append(f"{' '.join(map(str, command))}: killed after {seconds} s")
        return status, "".join(lines), seconds

    def tests(self, program: str, prefix: list[str], sanitized: bool = False) -> dict:
        """Runs a GoogleTest program, and gives its counts. Not to end is to fail."""
        report = self.scratch / f"{program}.json"
        report.unlink(missing_ok=True)
        command = [str(self.bin / program), "--gtest_brief=1", f"--gtest_output=json:{report}"]
        status, output, seconds = self.run(prefix + command, sanitized)
        result = {"program": program, "exit_status": status, "seconds": seconds, "passed": 0,
                  "failed": 0, "skipped": 0, "sample": sample(self.quick, sanitized),
                  "output": output}
        if report.exists():
            for suite in json.loads(report.read_text())["testsuites"]:
                for test in suite["testsuite"]:
                    kind = "failed" if test.get("failures") else (
                        "passed" if test["result"] == "COMPLETED" else "skipped")
                    result[kind] += 1
        passed = result["passed"] and not result["failed"] and status == 0
        result["outcome"] = ("passed" if passed else
                             "skipped" if status == SKIPPED and not result["failed"] else "failed")
        return result

    def suite(self, program: str) -> dict:
        result = self.tests(program, [])
        del result["output"]
        # There is a GPU: to skip the suite is to fail.
        if result["outcome"] != "passed":
            self.problems.append(f"{program}: {result['passed']} tests passed, {result['failed']} "
                                 f"failed, exit status {result['exit_status']}")
        return result

    def sanitizer(self, command: str, tool: str, program: str) -> dict:
        prefix = [command, "--tool", tool, "--error-exitcode", str(SANITIZER_STATUS)]
        result = self.tests(program, prefix, sanitized=True)
        found = SUMMARY.findall(result.pop("output"))
        reports = int("".join(found[-1])) if found else None
        result |= {"tool": tool, "reports": reports}
        if reports != 0 or result["outcome"] != "passed":
            result["outcome"] = "failed"
            said = "no summary" if reports is None else f"{reports} reports"
            self.problems.append(f"{tool} {program}: {said}, exit status {result['exit_status']}")
        return result

    def bench(self) -> list[dict]:
        report = self.scratch / "gpu_bench.json"
        status, _, _ = self.run([str(self.bin / "gpu_bench"), f"--benchmark_out={report}",
                                 "--benchmark_out_format=json"])
        try:
            runs = json.loads(report.read_text())["benchmarks"] if status == 0 else []
        except (OSError, ValueError, KeyError):
            runs = []
        if not runs:
            self.problems.append(f"gpu_bench: no rows, exit status {status}")
        return [self.bench_row(run) for run in runs]

    def bench_row(self, run: dict) -> dict:
        name, cache = run["name"].split("/")[0].rsplit(" ", 1)
        row = {"row": name, "library": "cuqat", "cache": cache}
        if run.get("error_occurred"):
            row["error"] = run["error_message"]
            # What the device has no memory for is the one thing that may be missing.
            if not row["error"].startswith("NOT MEASURED: no "):
                self.problems.append(f"gpu_bench, {name} {cache}: {row['error']}")
            return row
        names = {"microseconds": "median_us", "microseconds_iqr": "iqr_us",
                 "host_microseconds": "host_us", "host_microseconds_iqr": "host_iqr_us"}
        for key in ["microseconds", "microseconds_iqr", "host_microseconds",
                    "host_microseconds_iqr", "most_drift_percent"]:
            row[names.get(key, key)] = round(run[key], 3)
        # Of a copy and a read, or of other products.
        row |= {key: round(value, 3) for key, value in run.items()
                if key.startswith("percent_of_") or key == "teraflops"}
        for key in ["elements", "bytes_read", "bytes_written", "samples", "dropped", "buffers"]:
            row[key] = int(run[key])
        return row

    def peers(self) -> dict:
        """Versions and rows; none where this Python has no PyTorch."""
        if importlib.util.find_spec("torch") is None:
            return {"rows": [], "not_run": "this Python has no torch"}
        report = self.scratch / "peers.json"
        count = sample(self.quick, False).get("CUQAT_BENCH_COUNT", str(1 << 28))
        # In a folder of a build beside this file.
        script = next(path for path in (HERE / "gpu_peers.py",
                                        HERE.parent / "bench" / "peers" / "gpu_peers.py")
                      if path.exists())
        status, _, _ = self.run([sys.executable, str(script), "--count", count, "--json",
                                 str(report)])
        if status != 0:
            self.problems.append(f"gpu_peers.py: exit status {status}")
        return json.loads(report.read_text()) if report.exists() else {"rows": []}


def said_by(*command: str) -> str | None:
    """The last line of a program's output, or None where it cannot be run."""
    try:
        return subprocess.run(command, capture_output=True, text=True,
                              check=True).stdout.splitlines()[-1].strip()
    except (OSError, subprocess.CalledProcessError, IndexError):
        return None


def machine(folder: pathlib.Path, gpu: dict, sanitizer: str | None) -> dict:
    """What the figures depend on."""
    queries = {"driver": "driver_version", "sm_clock": "clocks.sm", "most_sm_clock": "clocks.max.sm",
               "most_memory_clock": "clocks.max.mem", "power_limit": "power.limit",
               "mig": "mig.mode.current"}
    return {"gpu": gpu,
            **{name: said_by("nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader")
               for name, query in queries.items()},
            "compute_sanitizer": said_by(sanitizer, "--version") if sanitizer else None,
            "commit": (folder / "commit").read_text().strip(),
            "architectures": (folder / "architectures").read_text().strip()}


def print_summary(result: dict) -> None:
    print(f"\n{result['gpu']['name']}, driver {result['driver']}, cuqat "
          f"{result['gpu']['cuqat_version']}, commit {result['commit']}")
    for suite in result["suites"]:
        print(f"  {suite['program']}: {suite['passed']} passed, {suite['failed']} failed, "
              f"{suite['skipped']} skipped: {suite['outcome']}")
    for run in result["sanitizers"]:
        print(f"  {run['tool']} {run['program']}: {run['reports']} reports: {run['outcome']}")
    if not result["sanitizers"]:
        print("  compute-sanitizer: NOT RUN")
    measured = sum("error" not in row for row in result["bench"])
    print(f"  gpu_bench: {measured} of {len(result['bench'])} rows measured")
    for row in result["bench"] + result["peers"]["rows"]:
        name = f"{row['row']} ({row['library']}, {row['cache']})"
        if "error" in row:
            print(f"  {name:72} {row['error']}")
        else:
            found = [key.removeprefix("percent_of_") for key in row
                     if key.startswith("percent_of_") and not key.endswith("_iqr")]
            # Of what writes nothing a read is the measure, where there is one.
            of = "read" if "read" in found and not row["bytes_written"] else found[0]
            print(f"  {name:72} {row['median_us']:9.1f} us {row['percent_of_' + of]:7.1f} % of {of}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=pathlib.Path, default=HERE,
                        help="of the build; else the one that this file is in")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("bench/results"))
    parser.add_argument("--quick", action="store_true",
                        help="fewer cases, small tensors, only memcheck")
    parser.add_argument("--no-sanitizer", action="store_true")
    parser.add_argument("--peers", action="store_true", help="then the same rows in PyTorch")
    parser.add_argument("--time-limit", type=float, default=3600.0, metavar="SECONDS",
                        help="for one program; 3600 unless given")
    arguments = parser.parse_args()
    tests = (arguments.folder / "suites").read_text().split()

    info = subprocess.run([arguments.folder / "bin" / "gpu_info"], capture_output=True, text=True)
    if info.returncode == SKIPPED:
        print(f"SKIPPED, NOTHING WAS TESTED OR MEASURED: {info.stderr.strip()}")
        return SKIPPED
    if info.returncode != 0:
        print(f"FAILED: gpu_info: {info.stderr.strip()}")
        return 1
    sanitizer = shutil.which("compute-sanitizer",
                             path=os.environ.get("PATH", "") + ":/usr/local/cuda/bin")
    if sanitizer is None and not arguments.no_sanitizer:
        print("There is no compute-sanitizer here; --no-sanitizer does without it.")
        return 1

    now = datetime.datetime.now(datetime.timezone.utc)
    gpu = json.loads(info.stdout)
    gpu_name = re.sub(r"[^a-z0-9]+", "-", gpu["name"].lower()).strip("-")
    out = arguments.out / (f"{gpu_name}-{now:%Y-%m-%d-%H%M%S}"
                           f"{'-quick' if arguments.quick else ''}.json")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        runner = Runner(arguments.folder, pathlib.Path(scratch), arguments.quick,
                        arguments.time_limit)
        result = machine(arguments.folder, gpu, sanitizer) | {
            "date": now.isoformat(timespec="seconds"), "quick": arguments.quick, "complete": False,
            "suites": [], "sanitizers": [], "bench": [], "peers": {"rows": []},
            "problems": runner.problems}

        def write() -> None:
            out.write_text(json.dumps(result, indent=1) + "\n")

        for program in tests:
            result["suites"].append(runner.suite(program))
            write()
        if not arguments.no_sanitizer:
            for tool in SANITIZER_TOOLS[:1] if arguments.quick else SANITIZER_TOOLS:
                for program in tests:
                    result["sanitizers"].append(runner.sanitizer(sanitizer, tool, program))
                    write()
        result["bench"] = runner.bench()
        write()
        if arguments.peers:
            result["peers"] = runner.peers()
        result["complete"] = True
        write()

    print_summary(result)
    print(f"Written: {out}")
    for problem in runner.problems:
        print(f"FAILED: {problem}")
    print("FAILED" if runner.problems else "Everything that was run has passed")
    return 1 if runner.problems else 0


if __name__ == "__main__":
    sys.exit(main())
