"""What scripts/gpu_check.sh makes of programs that pass, fail, crash or find no GPU, played here by
small scripts, as there need be no GPU."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(sys.argv.pop(1)).resolve()

INFO = """print('{"name": "Stub GPU 9000", "l2_bytes": 1, "cuqat_version": "1.2.3"}')"""
NO_GPU = """import sys; print("there is no GPU", file=sys.stderr); sys.exit(77)"""
BAD_GPU = """import sys; print("cudaGetDevice: old driver", file=sys.stderr); sys.exit(1)"""
# Two tests that pass, one that is skipped and one that is disabled, unless told otherwise.
TESTS = """
import json, os, sys
path = next(a for a in sys.argv if a.startswith("--gtest_output=json:")).split(":", 1)[1]
failures = {failures}
tests = [dict(name="a", result="COMPLETED"), dict(name="b", result="SKIPPED"),
         dict(name="c", result="COMPLETED", **(dict(failures=[1]) if failures else dict())),
         dict(name="d", result="SUPPRESSED")]
json.dump(dict(testsuites=[dict(testsuite=tests)]), open(path, "w"))
print("stride", os.environ.get("CUQAT_CASE_STRIDE"), "filter", os.environ.get("GTEST_FILTER"))
sys.exit(1 if failures else 0)
"""
CRASH = "import os; os.abort()"
ALL_SKIPPED = "import sys; print('SKIPPED, NOTHING WAS TESTED'); sys.exit(77)"
NO_TESTS = """
import json, sys
path = next(a for a in sys.argv if a.startswith("--gtest_output=json:")).split(":", 1)[1]
json.dump(dict(testsuites=[]), open(path, "w"))
"""
HANGS = "import time; time.sleep(600)"
BENCH = """
import json, sys
path = next(a for a in sys.argv if a.startswith("--benchmark_out=")).split("=", 1)[1]
numbers = ["microseconds", "host_microseconds", "percent_of_copy", "percent_of_kernel_copy",
           "percent_of_read"]
row = {{name: 90.0 for name in numbers}} | {{name + "_iqr": 1.0 for name in numbers}}
row["most_drift_percent"] = 3.0
for name in ["elements", "bytes_read", "bytes_written", "samples", "dropped", "buffers"]:
    row[name] = 30
bad = dict(name="2 y cold/iterations:1", error_occurred=True, error_message="{error}")
product = {{key: value for key, value in row.items() if "percent_of" not in key}}
product |= dict(name="12 y 2x3x4 cold/iterations:1/manual_time", percent_of_bf16=150.0,
                percent_of_bf16_iqr=2.0, teraflops=700.5)
json.dump(dict(benchmarks=[dict(row, name="1 x, with z cold/iterations:1/manual_time"), bad,
                           product]), open(path, "w"))
"""
# As compute-sanitizer: runs what follows its options and ends with a summary.
SANITIZER = """
import subprocess, sys
tool = sys.argv[sys.argv.index("--tool") + 1]
status = subprocess.run(sys.argv[5:]).returncode
reports = {reports} if tool == "initcheck" else 0
if tool == "racecheck":
    print("========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)")
else:
    print(f"========= ERROR SUMMARY: {{reports}} errors")
sys.exit(86 if reports else status)
"""
SKIP_ROW = "NOT MEASURED: no 12345 bytes of device memory"


class GpuCheck(unittest.TestCase):
    def check(self, *options, info=INFO, tests=TESTS.format(failures=0), error=SKIP_ROW, reports=0,
              sanitizer=True, bench=None, environment=None):
        """Exit status, result (None where none was written), and output."""
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            programs = {"folder/bin/gpu_info": info, "folder/bin/gpu_conformance_test": tests,
                        "folder/bin/gpu_bench": bench or BENCH.format(error=error)}
            if sanitizer:
                programs["path/compute-sanitizer"] = SANITIZER.format(reports=reports)
            for name, text in programs.items():
                program = scratch / name
                program.parent.mkdir(parents=True, exist_ok=True)
                program.write_text(f"#!{sys.executable}\n{text}")
                program.chmod(0o755)
            for name, text in {"commit": "0123abc", "architectures": "90",
                               "suites": "gpu_conformance_test"}.items():
                (scratch / "folder" / name).write_text(text + "\n")
            run = subprocess.run(
                [ROOT / "scripts/gpu_check.sh", "--build-folder", "folder", "--out", "out",
                 *options],
                cwd=scratch, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                env=os.environ | (environment or {})
                | {"PATH": f"{scratch / 'path'}:{os.environ['PATH']}"})
            results = list((scratch / "out").glob("*")) if (scratch / "out").exists() else []
            result = json.loads(results[0].read_text()) if results else None
            if result:
                self.assertRegex(results[0].name,
                                 r"^stub-gpu-9000-\d{4}-\d\d-\d\d-\d{6}(-quick)?\.json$")
                self.assertTrue(result["complete"])
            return run.returncode, result, run.stdout

    def test_without_a_gpu_nothing_is_written(self):
        status, result, output = self.check(info=NO_GPU)
        self.assertEqual(status, 77)
        self.assertIsNone(result)
        self.assertIn("NOTHING WAS TESTED", output)

    def test_all_is_run_and_counted(self):
        status, result, output = self.check()
        self.assertEqual(status, 0, output)
        self.assertEqual(result["gpu"]["name"], "Stub GPU 9000")
        self.assertEqual(result["commit"], "0123abc")
        suite = result["suites"][0]
        self.assertEqual((suite["passed"], suite["failed"], suite["skipped"]), (2, 0, 2))
        self.assertEqual(result["architectures"], "90")
        self.assertEqual(result["gpu"]["cuqat_version"], "1.2.3")
        self.assertEqual([run["tool"] for run in result["sanitizers"]],
                         ["memcheck", "racecheck", "initcheck", "synccheck"])
        self.assertEqual({run["reports"] for run in result["sanitizers"]}, {0})
        self.assertEqual(result["bench"][0]["row"], "1 x, with z")
        self.assertEqual(result["bench"][0]["median_us"], 90.0)
        self.assertEqual(result["bench"][1]["error"], SKIP_ROW)
        self.assertIn("2 of 3 rows measured", output)
        self.assertRegex(output, r"1 x, with z \(cuqat, cold\) +90.0 us +90.0 % of copy")
        product = result["bench"][2]
        self.assertEqual((product["percent_of_bf16"], product["teraflops"]), (150.0, 700.5))
        self.assertNotIn("percent_of_copy", product)
        self.assertRegex(output, r"12 y 2x3x4 \(cuqat, cold\) +90.0 us +150.0 % of bf16")
        self.assertIn("stride None", output)
        self.assertIn("stride 31", output)

    def test_quick_is_a_sample_under_one_tool(self):
        status, result, output = self.check("--quick")
        self.assertEqual(status, 0, output)
        self.assertEqual([run["tool"] for run in result["sanitizers"]], ["memcheck"])
        self.assertIn("stride 13", output)

    def test_a_failing_test_fails(self):
        status, result, _ = self.check(tests=TESTS.format(failures=1))
        self.assertEqual(status, 1)
        self.assertEqual(result["suites"][0]["outcome"], "failed")

    def test_a_crash_fails(self):
        status, result, _ = self.check(tests=CRASH)
        self.assertEqual(status, 1)
        self.assertEqual(result["suites"][0]["outcome"], "failed")

    def test_a_gpu_that_cannot_be_used_fails(self):
        status, result, output = self.check(info=BAD_GPU)
        self.assertEqual(status, 1)
        self.assertIsNone(result)
        self.assertIn("old driver", output)

    def test_to_skip_everything_fails(self):
        for tests, outcome in ((ALL_SKIPPED, "skipped"), (NO_TESTS, "failed")):
            status, result, _ = self.check(tests=tests)
            self.assertEqual(status, 1)
            self.assertEqual(result["suites"][0]["outcome"], outcome)
            self.assertEqual({run["outcome"] for run in result["sanitizers"]}, {"failed"})
            self.assertEqual(len(result["problems"]), 5)

    def test_a_program_that_hangs_is_killed(self):
        status, result, output = self.check("--time-limit", "1", "--no-sanitizer", tests=HANGS)
        self.assertEqual(status, 1)
        self.assertEqual(result["suites"][0]["outcome"], "failed")
        self.assertIn("killed after", output)
        self.assertEqual(result["bench"][0]["median_us"], 90.0)

    def test_rows_without_figures_fail(self):
        for bench in (BENCH.format(error="NOT MEASURED: 160 turns dropped"), "print('no report')"):
            status, result, _ = self.check(bench=bench)
            self.assertEqual(status, 1)
            self.assertEqual(result["suites"][0]["outcome"], "passed")

    def test_the_environment_does_not_choose_what_is_run(self):
        status, _, output = self.check(environment={"GTEST_FILTER": "A.*", "CUQAT_CASE_STRIDE": "9"})
        self.assertEqual(status, 0, output)
        self.assertIn("stride None filter None", output)

    def test_a_report_of_the_sanitizer_fails(self):
        status, result, _ = self.check(reports=3)
        self.assertEqual(status, 1)
        self.assertEqual([run["reports"] for run in result["sanitizers"]], [0, 0, 3, 0])

    def test_a_wrong_row_fails(self):
        status, _, output = self.check(error="the result is wrong: y")
        self.assertEqual(status, 1)
        self.assertIn("the result is wrong: y", output)

    @unittest.skipIf(os.path.exists("/usr/local/cuda/bin/compute-sanitizer"), "there is one here")
    def test_a_missing_sanitizer_has_to_be_asked_for(self):
        status, result, _ = self.check(sanitizer=False)
        self.assertEqual(status, 1)
        self.assertIsNone(result)
        status, result, output = self.check("--no-sanitizer", sanitizer=False)
        self.assertEqual(status, 0, output)
        self.assertIn("compute-sanitizer: NOT RUN", output)


if __name__ == "__main__":
    unittest.main()
