"""The tally parity command: its table, JSON object and exit codes. WRONG_DRIVER is the library that injects faults."""

import json
import os
import shlex
import signal
import tempfile
import time
import unittest

from command_case import (DEVICE, IO, PARITY, SANITIZED, SECONDS, USAGE, Case, Terminal, catches, environment, finish,
                          main, start, tally)

WRONG_DRIVER = os.environ.get("WRONG_DRIVER")
CPU = ("parity", "--device", "cpu")
# Runs for a minute or more.
LONG = (*CPU, "--op", "exp", "--exhaustive")
STEPS = "2"
EVERY = (*CPU, "--steps", STEPS)
TRAINING = (*EVERY, "--op", "training")
COLUMNS = 120
CELLS = ("lstm", "gru", "rnn", "rnn-relu")
TRAINED = (*CELLS, "lstm of two layers")


def interrupt(process):
    """Waits until the command handles signals, and for some cases."""
    end = time.monotonic() + SECONDS
    while not catches(process, signal.SIGINT) and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)


class ParityCase(Case):
    def one_check(self, *args, **kwargs):
        """The result of a run with one device, one route and one operation."""
        device, = self.passes_json("parity", *args, **kwargs)["devices"]
        check, = device["checks"]
        return check

    def rows(self, text, checks):
        """The table has a line for each check, in order."""
        lines = text.splitlines()
        at = next(i for i, line in enumerate(lines) if line.startswith("operation "))
        table = lines[at + 1:at + 1 + len(checks)]
        for line, check in zip(table, checks, strict=True):
            verdict = "BROKEN" if check["verdict"] == "broken" else check["verdict"]
            self.assertRegex(line, rf"^{check['operation']} +{verdict} +{check['cases']} +\S+ +\S+ %  "
                                   rf"--op {check['operation']}(/\d+)?$")
            self.assertRegex(check["repeat"], r" --seed 1( --steps \d+)?$")
            self.assertIn(" --op " + line.split("--op ")[1] + " ", check["repeat"])


class Parity(ParityCase):
    @classmethod
    def setUpClass(cls):
        """Every operation, with a short training run; most of the time is spent in the baseline."""
        outcome = tally(*EVERY, "--json")
        assert outcome.code == 0, outcome.err
        cls.every = json.loads(outcome.out)

    def test_help_has_every_option_and_operation(self):
        text = " ".join(self.passes(tally("parity", "--help")).split())
        for option in ("device D", "route R", "op NAME", "seed N", "steps N", "exhaustive", "json", "verbose"):
            self.assertIn(f"--{option} ", text)
        self.assertIn("what to check: all, auto", text)
        self.assertIn("8 parity: a check failed", text)
        device, = self.every["devices"]
        self.assertIn(", ".join(check["operation"] for check in device["checks"]), text)

    def test_every_operation_is_exact_on_the_c_path(self):
        r = self.every
        self.assertEqual(set(r), {"version", "seed", "steps", "devices", "verdict"})
        self.assertEqual((r["seed"], r["steps"], r["verdict"]), ("1", int(STEPS), "exact"))
        device, = r["devices"]
        self.assertEqual(set(device), {"selector", "device", "backend", "route", "arithmetic", "verdict", "error",
                                       "repeat", "seconds", "checks"})
        for key, value in {"selector": "cpu", "backend": "cpu", "route": "exact", "arithmetic": "exact",
                           "verdict": "exact", "error": None, "repeat": None}.items():
            self.assertEqual(device[key], value, key)
        for check in device["checks"]:
            self.assertEqual(set(check), {"operation", "verdict", "cases", "left_out", "fallbacks", "worst_ulp",
                                          "worst_share", "worst_case", "worst", "failure", "note", "repeat"})
            self.assertEqual((check["verdict"], check["failure"], check["fallbacks"]), ("exact", None, 0))
            self.assertGreaterEqual(check["cases"], 1)
            self.assertLessEqual(check["worst_share"], 1)
            self.assertTrue(check["worst"])
        text = self.passes(tally(*EVERY))
        self.rows(text, device["checks"])
        self.assertLessEqual(max(map(len, text.splitlines())), COLUMNS)
        self.assertTrue(text.endswith("\nVerdict      exact: the C path's bits in every operation\n"))

    def test_verbose_tells_each_worst_case(self):
        check = self.one_check("--device", "cpu", "--op", "gemm")
        outcome = tally(*CPU, "--op", "gemm", "--verbose")
        self.assertEqual(outcome.code, 0)
        self.assertIn("device cpu (cpu)", outcome.err)
        self.assertIn(f"  --op gemm/{check['worst_case']}\n", outcome.out)
        self.assertIn(" " + check["worst"] + "\n", outcome.out)
        self.assertNotIn(check["worst"], self.passes(tally(*CPU, "--op", "gemm")))

    def test_the_command_it_names_runs_that_case_alone(self):
        for seed in "1", "18446744073709551615":
            all_cases = self.one_check("--device", "cpu", "--op", "gemm", "--seed", seed)
            program, *args = shlex.split(all_cases["repeat"])
            self.assertEqual((program, args[-1]), ("tally", seed))
            self.assertGreater(all_cases["cases"], 1)
            alone = self.one_check(*args[1:])
            self.assertEqual(alone["cases"], 1)
            for key in ("worst_case", "worst_share", "worst", "repeat"):
                self.assertEqual(alone[key], all_cases[key], key)

    def test_a_seed_changes_the_values(self):
        shares = {self.one_check("--device", "cpu", "--op", "gemm", "--seed", seed)["worst_share"] for seed in "123"}
        self.assertEqual(len(shares), 3)

    def test_one_case(self):
        r = self.passes_json(*CPU, "--op", "copy/3")
        self.assertEqual(r["steps"], 20)
        check, = r["devices"][0]["checks"]
        self.assertEqual((check["cases"], check["worst_case"]), (1, 3))
        text = self.passes(tally(*CPU, "--op", "copy/3"))
        self.assertIn("Checked      1 case in ", text)
        self.assertIn("exact: the C path's bits in copy/3\n", text)

    def test_cases_of_every_cell(self):
        for name in "cell_forward", "cell_backward", "layer_forward", "layer_backward", "gradients":
            all_cases = self.one_check("--device", "cpu", "--op", name)["cases"]
            self.assertEqual(all_cases % len(CELLS), 0)
            for i, cell in enumerate(CELLS):
                number = i * all_cases // len(CELLS)
                check = self.one_check("--device", "cpu", "--op", f"{name}/{number}")
                self.assertTrue(check["worst"].startswith(cell + ", "), check["worst"])

    def test_steps_are_those_of_the_training_run(self):
        check = self.one_check("--device", "cpu", "--op", "training", "--steps", "3")
        self.assertEqual(check["cases"], 3 * len(TRAINED))
        for model in TRAINED:
            self.assertIn(f"{model}, 3 steps", check["note"])
        self.assertTrue(check["repeat"].endswith("--op training --seed 1 --steps 3"))
        self.assertEqual(self.one_check(*shlex.split(check["repeat"])[2:])["note"], check["note"])
        text = self.passes(tally(*CPU, "--op", "training", "--steps", "3"))
        self.assertIn(check["note"].split(":")[0], text)

    def test_the_plainest_form_is_compared_with_itself(self):
        itself = "compared with itself"
        baseline = environment(TALLY_CPU="baseline")
        for operation in "gemm", "training":
            self.assertIn(itself,
                          self.one_check("--device", "cpu", "--op", operation, "--steps", "1", env=baseline)["note"])
        text = self.passes(tally(*CPU, "--steps", "1", env=baseline))
        self.assertEqual(text.count(itself), 2)  # the note of training has more text
        self.assertIn("\narithmetic to dropout: " + itself, text)

    def test_what_is_not_there(self):
        self.fails(USAGE, "no operation 'gem'; did you mean gemm?", "Try: tally parity --help",
                   args=(*CPU, "--op", "gem"))
        self.fails(USAGE, "no operation 'lstm_fwd'", args=(*CPU, "--op", "lstm_fwd/3"))
        self.fails(USAGE, "no operation 'xyzzy'\n", args=(*CPU, "--op", "xyzzy"))
        self.fails(USAGE, "no operation ''", args=(*CPU, "--op", ""))
        for case in "999999", "x", "", "-1":
            self.fails(USAGE, f"gemm/{case}: its cases are 0 to", args=(*CPU, "--op", f"gemm/{case}"))
        self.fails(USAGE, "unexpected argument 'cpu': the command takes only options", args=("parity", "cpu"))
        self.fails(USAGE, "exact route only", args=(*CPU, "--route", "clblast"))
        self.fails(USAGE, "--steps: '0' is not a whole number from 1 to", args=(*CPU, "--steps", "0"))

    def test_without_a_driver(self):
        note = self.passes_json("devices")["opencl_note"]
        for args in ("--device", "opencl"), ("--device", "all", "--route", "clblast"):
            self.fails(DEVICE, note, args=("parity", *args))
        self.fails(DEVICE, '"no such device"', args=("parity", "--device", "no such device"))
        r = self.passes_json("parity", "--device", "all", "--op", "fill")
        self.assertEqual([device["selector"] for device in r["devices"]], ["cpu"])
        self.assertIn(f"\nNo OpenCL device: {note}\n", self.passes(tally("parity", "--device", "all", "--op", "fill")))

    def test_output_that_cannot_be_written(self):
        for more in (), ("--json",):
            with open("/dev/full", "wb") as full:
                self.fails(IO, "standard output: No space left on device", args=(*CPU, "--op", "fill", *more),
                           stdout=full)

    def test_a_pipe_closed_early(self):
        for restored, code in (True, -signal.SIGPIPE), (False, IO):
            process = start(*CPU, "--op", "fill", restore_signals=restored)
            process.stdout.close()
            self.assertEqual(process.stderr.read(), b"")
            process.stderr.close()
            self.assertEqual(process.wait(timeout=SECONDS), code)

    def test_a_signal_stops_it(self):
        process = start(*LONG, "--json")
        interrupt(process)
        outcome = finish(process)
        self.assertEqual((outcome.code, outcome.err), (130, ""))
        r = json.loads(outcome.out)
        self.assertIsNone(r["verdict"])
        self.assertEqual([(device["verdict"], device["error"], device["checks"]) for device in r["devices"]],
                         [(None, "interrupted", [])])
        process = start(*LONG)
        interrupt(process)
        outcome = finish(process)
        self.assertEqual((outcome.code, outcome.err), (130, ""))
        self.assertTrue(outcome.out.endswith("Verdict      none; stopped after 0 operations\n"), outcome.out)

    def test_a_signal_stops_the_training_run(self):
        process = start(*CPU, "--op", "training", "--steps", "5000", "--json")
        interrupt(process)
        outcome = finish(process)
        self.assertEqual((outcome.code, outcome.err), (130, ""))
        self.assertEqual(json.loads(outcome.out)["devices"][0]["error"], "interrupted")

    def test_progress_on_a_terminal_only(self):
        for columns, args in (20, EVERY), (60, TRAINING), (100, TRAINING):
            terminal = Terminal(*args, "--json", columns=columns)
            code, out = terminal.finish()
            self.assertEqual((code, json.loads(out)["verdict"]), (0, "exact"))
            drawn = terminal.text().replace("\n", "\r").split("\r")
            self.assertLess(max(map(len, drawn)), columns)
            self.assertIn("100 %", terminal.text())
        self.assertRegex(terminal.text(),
                         rf"\r100 % \[#+\]  {int(STEPS) * len(TRAINED)} cases  training  device cpu, exact")


@unittest.skipIf(WRONG_DRIVER is None, "built without OpenCL")
@unittest.skipIf(SANITIZED, "drivers leak, and a sanitizer's library wants to be the first")
class OpenCL(ParityCase):
    @classmethod
    def setUpClass(cls):
        cls.selector, cls.env = cls.pocl(TALLY_CACHE=None)
        cls.device = ("parity", "--device", cls.selector)
        tally(*cls.device, "--op", "fill", env=cls.env)  # later commands do not report that they compile

    def wrong(self, how):
        return dict(self.env, LD_PRELOAD=WRONG_DRIVER, DRIVER_FAULT=how)

    def test_both_routes(self):
        r = self.passes_json(*self.device, "--op", "gemm", env=self.env)
        self.assertEqual([(d["route"], d["verdict"], d["arithmetic"]) for d in r["devices"]],
                         [("exact", "exact", "exact"), ("clblast", "within bound", "exact")])
        self.assertEqual(r["verdict"], "within bound")
        for device in r["devices"]:
            self.assertIn(f"--device {self.selector} --route {device['route']} ", device["checks"][0]["repeat"])
        text = self.passes(tally(*self.device, "--op", "gemm", env=self.env))
        self.assertIn("Verdict      exact: the C path's bits in gemm\n", text)
        self.assertIn("Verdict      within bounds (CLBlast)\n", text)
        self.assertRegex(text, rf"\n{self.selector} +exact +exact: .*\n{self.selector} +clblast +within bounds.*\n$")

    def test_one_route(self):
        for route in "exact", "clblast":
            device, = self.passes_json(*self.device, "--op", "fill", "--route", route, env=self.env)["devices"]
            self.assertEqual(device["route"], route)

    def test_all_devices(self):
        listed = self.passes_json("devices", env=self.env)["devices"]
        runs = [(d["selector"], route) for d in listed
                for route in (("exact",) if d["backend"] == "cpu" else ("exact", "clblast"))]
        for route in None, "exact", "clblast":
            r = self.passes_json("parity", "--device", "all", "--op", "fill", *(("--route", route) if route else ()),
                                 env=self.env)
            self.assertEqual([(d["selector"], d["route"]) for d in r["devices"]],
                             [run for run in runs if route in (None, run[1])])

    def test_a_driver_with_wrong_bits(self):
        broken = tally(*self.device, "--op", "gemm", "--route", "exact", "--json", env=self.wrong("bits"))
        self.assertEqual((broken.code, broken.err), (PARITY, ""))
        r = json.loads(broken.out)
        device, = r["devices"]
        check, = device["checks"]
        self.assertEqual((r["verdict"], device["verdict"], check["verdict"]), ("broken", "broken", "broken"))
        self.assertGreater(check["worst_share"], 1)
        # Operation and case, shape, element, both values; the command includes the seed.
        self.assertRegex(check["failure"], r"^gemm/\d+, \d+x\d+x\d+.*: C\[\d+, \d+\] is \S+ .*, not \S+ within \S+; "
                                           r"the C path has \S+")
        self.assertIn(" --seed 1", check["repeat"])
        number = check["failure"].split(",")[0]
        self.assertIn(f"--op {number} ", check["repeat"])
        alone = tally(*shlex.split(check["repeat"])[1:], "--json", env=self.wrong("bits"))
        self.assertEqual(alone.code, PARITY)
        again, = json.loads(alone.out)["devices"][0]["checks"]
        self.assertEqual((again["cases"], again["failure"]), (1, check["failure"]))
        # The cause was the driver.
        self.passes(tally(*shlex.split(check["repeat"])[1:], env=self.env))

    def test_a_driver_that_writes_beside_a_result(self):
        outcome = tally(*self.device, "--op", "gemm/4", "--route", "exact", "--json", env=self.wrong("stray"))
        self.assertEqual(outcome.code, PARITY)
        check, = json.loads(outcome.out)["devices"][0]["checks"]
        self.assertRegex(check["failure"],
                         r"^gemm/4, .*: 0x7fb5a5a5 was written at element \d+ of the buffer in which A "
                         r"has its first at \d+$")

    def test_the_table_of_a_wrong_driver(self):
        args = (*self.device, "--route", "exact", "--steps", STEPS)
        checks = json.loads(tally(*args, "--json", env=self.wrong("bits")).out)["devices"][0]["checks"]
        outcome = tally(*args, env=self.wrong("bits"))
        self.assertEqual((outcome.code, outcome.err), (PARITY, ""))
        self.rows(outcome.out, checks)
        self.assertLessEqual(max(map(len, outcome.out.splitlines())), COLUMNS)
        words = " ".join(outcome.out.split())
        broken = [check for check in checks if check["verdict"] == "broken"]
        self.assertTrue(0 < len(broken) < len(checks))
        for check in broken:
            self.assertIn(f"BROKEN {check['failure']} {check['repeat']}", words)
        self.assertTrue(outcome.out.endswith(f"\nVerdict      BROKEN: {len(broken)} of {len(checks)} operations\n"))

    def test_a_driver_that_fails_in_the_middle(self):
        for how, code in ("longer", "CL_OUT_OF_RESOURCES"), ("memory", "CL_OUT_OF_HOST_MEMORY"):
            outcome = tally(*self.device, "--json", env=self.wrong(how))
            self.assertEqual(outcome.code, PARITY)
            r = json.loads(outcome.out)
            self.assertEqual([d["route"] for d in r["devices"]], ["exact", "clblast"])
            for device in r["devices"]:
                self.assertEqual(device["verdict"], "broken")
                self.assertRegex(device["error"], r"^arithmetic/0, sum of \d+ numbers, ordinary: .*" + code)
                self.assertIn(f"tally: {self.selector}, route {device['route']}: {device['error']}\n", outcome.err)
                self.assertEqual(device["repeat"], f"tally parity --device {self.selector} --route {device['route']} "
                                                   "--op arithmetic/0 --seed 1")
                alone = tally(*shlex.split(device["repeat"])[1:], "--json", env=self.wrong(how))
                self.assertEqual(json.loads(alone.out)["devices"][0]["error"], device["error"])
            self.assertEqual(r["verdict"], "broken")
            text = tally(*self.device, "--route", "exact", env=self.wrong(how)).out
            words = " ".join(text.split())
            self.assertIn("Verdict BROKEN: it failed in arithmetic: arithmetic/0, sum of ", words)
            self.assertTrue(text.endswith(f"             {r['devices'][0]['repeat']}\n"))

    def test_a_driver_that_fails_in_training(self):
        args = (*self.device, "--route", "exact", "--op", "training", "--steps", "3")
        device, = json.loads(tally(*args, "--json", env=self.wrong("weights")).out)["devices"]
        self.assertRegex(device["error"], "^training, lstm, seed 1, 3 steps of 200 strings: .*CL_OUT_OF_RESOURCES")
        self.assertEqual(device["repeat"], "tally " + " ".join(args[:-2]) + " --seed 1 --steps 3")

    def test_a_driver_that_fails_before_the_first_operation(self):
        text = tally(*self.device, "--route", "exact", env=self.wrong("long")).out
        self.assertIn("\nVerdict      BROKEN: it failed before the first operation: ", text)
        self.assertTrue(text.endswith(f" tally parity --device {self.selector} --route exact --seed 1\n"))

    def test_a_driver_without_memory_is_not_the_end(self):
        outcome = tally("parity", "--device", "all", "--route", "exact", "--op", "gemm", "--json",
                        env=self.wrong("memory"))
        self.assertEqual(outcome.code, PARITY)
        first, *others = json.loads(outcome.out)["devices"]
        self.assertEqual(first["verdict"], "exact")
        self.assertTrue(others)
        self.assertEqual({device["verdict"] for device in others}, {"broken"})

    def test_a_driver_that_trains_wrongly(self):
        args = (*self.device, "--op", "training", "--json")
        exact, clblast = json.loads(tally(*args, env=self.wrong("bits")).out)["devices"]
        number = r"-?[\d.e+-]+"
        title = r"^training, lstm, seed 1, 20 steps of 200 strings: after step 1 "
        self.assertRegex(exact["checks"][0]["failure"], title + rf"\S+\[\d+\] is {number}, but {number} on the C path$")
        self.assertRegex(clblast["checks"][0]["failure"],
                         title + rf"(\S+) is off by {number} \(RMS\), more than the {number} that rounding explains; "
                                 rf"\1\[\d+\] is {number}, but {number} on the C path$")

    def test_denormals_taken_for_zero(self):
        with tempfile.TemporaryDirectory() as cache:  # programs built this way must not stay in a cache
            outcome = tally(*self.device, "--steps", STEPS, env=dict(self.wrong("denormals"), XDG_CACHE_HOME=cache))
        self.assertEqual(outcome.code, 0, outcome.err)
        for of in "", " (CLBlast)":
            self.assertIn(f"\nVerdict      within tolerance{of}: it takes numbers below 2^-126 for zero\n", outcome.out)

    def test_loops_that_are_wrong_or_end_early(self):
        args = (*self.device, "--route", "exact", "--op")
        device, = self.passes_json(*args, "fill", env=self.wrong("loop"))["devices"]
        self.assertEqual(device["arithmetic"], "its integers or its loops are wrong")
        for name, fallbacks in ("reduce/2", 1), ("gemm/4", 0):
            device, = self.passes_json(*args, name, env=self.wrong("few"))["devices"]
            self.assertEqual((device["arithmetic"], device["verdict"]), ("exact", "exact"))
            self.assertEqual(device["checks"][0]["fallbacks"], fallbacks)

    def test_a_driver_that_cannot_be_opened(self):
        self.fails(DEVICE, "CL_OUT_OF_RESOURCES", args=(*self.device, "--op", "fill"), env=self.wrong("any"))
        outcome = tally("parity", "--device", "all", "--op", "fill", "--json", env=self.wrong("any"))
        self.assertEqual(outcome.code, PARITY)
        self.assertIn("CL_OUT_OF_RESOURCES", outcome.err)
        first, *others = json.loads(outcome.out)["devices"]
        self.assertEqual((first["selector"], first["verdict"]), ("cpu", "exact"))
        self.assertIn(self.selector, [device["selector"] for device in others])
        for device in others:
            self.assertEqual((device["verdict"], device["arithmetic"], device["checks"]), ("broken", None, []))
            self.assertIn("CL_OUT_OF_RESOURCES", device["error"])
        text = tally("parity", "--device", "all", "--op", "fill", env=self.wrong("any")).out
        self.assertIn("BROKEN: it cannot be opened: ", text)


if __name__ == "__main__":
    main()
