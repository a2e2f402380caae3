"""Runs the programs of a folder that scripts/gpu_check.sh has built on the GPU of this machine, and
writes what came of it as JSON. Uses nothing but the standard library.

Exits with 0 where everything passed, 1 where anything failed, 77 where there is no GPU.
"""
import argparse
import datetime
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

SKIPPED = 77
SANITIZER_STATUS = 86  # of a program that compute-sanitizer has something to say about
SANITIZER_TOOLS = ["memcheck", "racecheck", "initcheck", "synccheck"]
SUMMARY = re.compile(r"=+ (?:ERROR SUMMARY: (\d+) error|RACECHECK SUMMARY: (\d+) hazard)")


def environment(quick: bool, sanitized: bool) -> dict[str, str]:
    """How much is run: all of it, a sample, or a smaller sample. Programs print what they leave out."""
    chosen = {}
    if quick or sanitized:
        stride = {(True, False): 13, (False, True): 31, (True, True): 97}[quick, sanitized]
        chosen = {"CUQAT_CASE_STRIDE": str(stride), "CUQAT_LARGE_COUNT": "1000000"}
    if quick:
        chosen["CUQAT_BENCH_COUNT"] = str(1 << 22)
    return chosen


class Runner:
    def __init__(self, folder: pathlib.Path, scratch: pathlib.Path, quick: bool):
        self.bin = folder / "bin"
        self.scratch = scratch
        self.quick = quick
        self.problems: list[str] = []

    def run(self, command: list[str], sanitized: bool = False) -> tuple[int, str, float]:
        """Exit status, output, and seconds. The output is also printed as it comes."""
        variables = environment(self.quick, sanitized)
        print("\n==", *(f"{k}={v}" for k, v in variables.items()), *command, flush=True)
        begin = time.monotonic()
        process = subprocess.Popen(command, env=os.environ | variables, text=True, errors="replace",
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        lines = []
        for line in process.stdout:
            lines.append(line)
            print(line, end="", flush=True)
        return process.wait(), "".join(lines), round(time.monotonic() - begin, 1)

    def tests(self, program: str, prefix: list[str], sanitized: bool = False) -> dict:
        """Runs a GoogleTest program, and gives its counts. Not to end is to fail."""
        report = self.scratch / f"{program}.json"
        report.unlink(missing_ok=True)
        command = [str(self.bin / program), "--gtest_brief=1", f"--gtest_output=json:{report}"]
        status, output, seconds = self.run(prefix + command, sanitized)
        result = {"program": program, "exit_status": status, "seconds": seconds, "passed": 0,
                  "failed": 0, "skipped": 0, "sample": environment(self.quick, sanitized),
                  "output": output}
        if report.exists():
            for suite in json.loads(report.read_text())["testsuites"]:
                for test in suite["testsuite"]:
                    kind = "failed" if test.get("failures") else (
                        "skipped" if test["result"] == "SKIPPED" else "passed")
                    result[kind] += 1
        ended = report.exists() or status == SKIPPED
        result["outcome"] = ("failed" if result["failed"] or not ended
                             or status not in (0, SKIPPED, SANITIZER_STATUS)
                             else "passed" if result["passed"] else "skipped")
        return result

    def suite(self, program: str) -> dict:
        result = self.tests(program, [])
        del result["output"]
        if result["outcome"] == "failed":
            self.problems.append(f"{program}: {result['failed']} tests failed, "
                                 f"exit status {result['exit_status']}")
        return result

    def sanitizer(self, command: str, tool: str, program: str) -> dict:
        prefix = [command, "--tool", tool, "--error-exitcode", str(SANITIZER_STATUS)]
        result = self.tests(program, prefix, sanitized=True)
        found = SUMMARY.findall(result.pop("output"))
        reports = int("".join(found[-1])) if found else None
        result |= {"tool": tool, "reports": reports}
        if reports != 0 or result["outcome"] == "failed":
            result["outcome"] = "failed"
            said = "no summary" if reports is None else f"{reports} reports"
            self.problems.append(f"{tool} {program}: {said}, exit status {result['exit_status']}")
        return result

    def bench(self) -> list[dict]:
        report = self.scratch / "gpu_bench.json"
        status, _, _ = self.run([str(self.bin / "gpu_bench"), f"--benchmark_out={report}",
                                 "--benchmark_out_format=json"])
        runs = json.loads(report.read_text())["benchmarks"] if status == 0 else []
        if not runs:
            self.problems.append(f"gpu_bench: no rows, exit status {status}")
        return [self.bench_row(run) for run in runs]

    def bench_row(self, run: dict) -> dict:
        name, cache = run["name"].split("/")[0].rsplit(" ", 1)
        row = {"row": name, "library": "cuqat", "cache": cache}
        if run.get("error_occurred"):
            row["error"] = run["error_message"]
            if not row["error"].startswith("NOT MEASURED"):
                self.problems.append(f"gpu_bench, {name} {cache}: {row['error']}")
            return row
        names = {"microseconds": "median_us", "microseconds_iqr": "iqr_us"}
        for key in ["microseconds", "microseconds_iqr", "percent_of_copy", "percent_of_copy_iqr",
                    "percent_of_kernel_copy", "percent_of_kernel_copy_iqr", "percent_of_read",
                    "percent_of_read_iqr"]:
            row[names.get(key, key)] = round(run[key], 3)
        for key in ["elements", "bytes_read", "bytes_written", "samples", "dropped", "buffers"]:
            row[key] = int(run[key])
        return row

    def peers(self) -> list[dict]:
        report = self.scratch / "peers.json"
        count = environment(self.quick, False).get("CUQAT_BENCH_COUNT", str(1 << 28))
        status, _, _ = self.run([sys.executable, "bench/peers/gpu_peers.py", "--count", count,
                                 "--json", str(report)])
        if status != 0:
            self.problems.append(f"gpu_peers.py: exit status {status}")
        return json.loads(report.read_text()) if report.exists() else []


def driver_version() -> str | None:
    try:
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True,
                              check=True).stdout.splitlines()[0].strip()
    except (OSError, subprocess.CalledProcessError, IndexError):
        return None


def print_summary(result: dict) -> None:
    print(f"\n{result['gpu']['name']}, driver {result['driver']}, commit {result['commit']}")
    for suite in result["suites"]:
        print(f"  {suite['program']}: {suite['passed']} passed, {suite['failed']} failed, "
              f"{suite['skipped']} skipped: {suite['outcome']}")
    for run in result["sanitizers"]:
        print(f"  {run['tool']} {run['program']}: {run['reports']} reports: {run['outcome']}")
    if not result["sanitizers"]:
        print("  compute-sanitizer: NOT RUN")
    for row in result["bench"] + result["peers"]:
        name = f"{row['row']} ({row['library']}, {row['cache']})"
        if "error" in row:
            print(f"  {name:72} {row['error']}")
        else:
            of = "copy" if row["bytes_written"] or "percent_of_read" not in row else "read"
            print(f"  {name:72} {row['median_us']:9.1f} us {row['percent_of_' + of]:7.1f} % of {of}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("bench/results"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--no-sanitizer", action="store_true")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("tests", nargs="+")
    arguments = parser.parse_args()

    info = subprocess.run([arguments.folder / "bin" / "gpu_info"], capture_output=True, text=True)
    if info.returncode == SKIPPED:
        print(f"SKIPPED, NOTHING WAS TESTED OR MEASURED: {info.stderr.strip()}")
        return SKIPPED
    info.check_returncode()
    sanitizer = shutil.which("compute-sanitizer",
                             path=os.environ.get("PATH", "") + ":/usr/local/cuda/bin")
    if sanitizer is None and not arguments.no_sanitizer:
        print("There is no compute-sanitizer here; --no-sanitizer does without it.")
        return 1

    with tempfile.TemporaryDirectory() as scratch:
        runner = Runner(arguments.folder, pathlib.Path(scratch), arguments.quick)
        result = {
            "gpu": json.loads(info.stdout),
            "driver": driver_version(),
            "commit": (arguments.folder / "commit").read_text().strip(),
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "quick": arguments.quick,
            "suites": [runner.suite(program) for program in arguments.tests],
            "sanitizers": [],
        }
        if not arguments.no_sanitizer:
            tools = SANITIZER_TOOLS[:1] if arguments.quick else SANITIZER_TOOLS
            result["sanitizers"] = [runner.sanitizer(sanitizer, tool, program)
                                    for tool in tools for program in arguments.tests]
        result["bench"] = runner.bench()
        result["peers"] = runner.peers() if arguments.peers else []
        result["problems"] = runner.problems

    print_summary(result)
    gpu = re.sub(r"[^a-z0-9]+", "-", result["gpu"]["name"].lower()).strip("-")
    name = f"{gpu}-{result['date'][:10]}{'-quick' if arguments.quick else ''}.json"
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / name).write_text(json.dumps(result, indent=1) + "\n")
    print(f"Written: {arguments.out / name}")
    for problem in runner.problems:
        print(f"FAILED: {problem}")
    print("FAILED" if runner.problems else "Everything that was run has passed")
    return 1 if runner.problems else 0


if __name__ == "__main__":
    sys.exit(main())
