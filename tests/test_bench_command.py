"""The tally bench command: its formats, digests, comparison and exit codes. No test depends on speed."""

import csv
import io
import json
import os
import signal
import struct
import time
import unittest

from command_case import (DATA, DEVICE, IO, PARITY, SANITIZED, SECONDS, USAGE, Case, Terminal, catches, finish, main,
                          npy, path, start, tally, write)

BENCH = ("bench", "--device", "cpu", "--repeat", "1")
COUNT = (*BENCH, "--workload", "count")
KEYS = ("version", "workload", "device", "selector", "backend", "platform", "route", "arithmetic", "threads", "cell",
        "layers", "hidden", "inputs", "shortest", "steps", "classes", "batch", "dropout", "repeat", "steps_a_run",
        "ms_per_step", "spread", "gflops", "peak_gflops", "share", "memory_mib", "first_step_seconds",
        "sequences_per_second", "fallbacks", "weights_after_steps", "weights_sha256", "mistakes")
VARIANT = {"cell": "lstm", "shortest": 20,
           "dropout": 0}  # of the workload count; early versions did not write these keys
COMPARED = ("old_ms_per_step", "old_over_new", "weights_as_old")
WIDTH = 100


def lengths(m):
    """The number of time steps in a batch, as the help defines it."""
    return [m["shortest"] + i % (m["steps"] - m["shortest"] + 1) for i in range(m["batch"])]


def flops(m):
    """The formula in the help."""
    inputs, hidden, steps = m["inputs"], m["hidden"], sum(lengths(m))
    rows = {"lstm": 4, "gru": 3, "rnn": 1}[m["cell"]] * hidden
    forward = 2 * rows * steps * sum((hidden if layer else inputs) + hidden for layer in range(m["layers"]))
    head = 2 * hidden * m["classes"] * m["batch"]
    if m["workload"] == "score":
        return forward + head
    return 3 * (forward + head) - 2 * rows * inputs * steps


def made_numbers(count):
    """SplitMix64 (Steele, Lea & Flood 2014), seed 1: the values of generated batches."""
    state, mask = 1, (1 << 64) - 1
    for _ in range(count):
        state = z = (state + 0x9e3779b97f4a7c15) & mask
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9 & mask
        z = (z ^ z >> 27) * 0x94d049bb133111eb & mask
        yield z ^ z >> 31


class BenchCase(Case):
    def measured(self, *args, **kwargs):
        return json.loads(self.passes(tally(*args, "--format", "json", **kwargs)))

    def written(self, measurements):
        name = path("old.json")
        with open(name, "w") as file:
            json.dump(measurements, file)
        return name


class Bench(BenchCase):
    def test_help_has_every_option(self):
        text = " ".join(self.passes(tally("bench", "--help")).split())
        for option in ("workload NAME", "device D", "route R", "threads N", "repeat N", "format F", "compare FILE",
                       "sweep", "verbose"):
            self.assertIn(f"--{option} ", text)
        for key in KEYS + COMPARED:
            self.assertRegex(text, rf"\b{key}\b")

    def test_json(self):
        m, = self.measured(*COUNT)
        self.assertEqual(tuple(m), KEYS)
        for key, value in {"workload": "count", "selector": "cpu", "backend": "cpu", "route": "exact",
                           "arithmetic": "exact", **VARIANT, "layers": 1, "hidden": 24, "inputs": 1, "steps": 20,
                           "classes": 21, "batch": 1000, "repeat": 1, "spread": 0, "fallbacks": 0,
                           "weights_after_steps": 10, "mistakes": None}.items():
            self.assertEqual(m[key], value, key)
        self.assertRegex(m["weights_sha256"], "^[0-9a-f]{64}$")
        for key in "ms_per_step", "peak_gflops", "memory_mib", "first_step_seconds", "steps_a_run":
            self.assertGreater(m[key], 0, key)
        self.assertAlmostEqual(m["gflops"] * m["ms_per_step"] * 1e6 / flops(m), 1)
        self.assertAlmostEqual(m["share"] * m["peak_gflops"] / m["gflops"], 1)
        self.assertAlmostEqual(m["sequences_per_second"] * m["ms_per_step"] / 1000, m["batch"])

    def test_the_weights_are_those_of_training_as_much(self):
        m, = self.measured(*COUNT)
        trained = self.passes_json("train", "count", "--device", "cpu", "--length", "20", "--epochs", "1")
        self.assertEqual(trained["steps"], m["weights_after_steps"])
        self.assertEqual(trained["weights_sha256"], m["weights_sha256"])

    def test_threads_change_no_weight(self):
        one, = self.measured(*COUNT, "--threads", "1")
        two, = self.measured(*COUNT, "--threads", "2", "--compare", self.written([one]))
        self.assertEqual((one["threads"], two["threads"]), (1, 2))
        self.assertEqual(one["weights_sha256"], two["weights_sha256"])
        self.assertEqual(two["weights_as_old"], "equal")

    def test_csv_has_the_same_columns(self):
        rows = list(csv.reader(io.StringIO(self.passes(tally(*COUNT, "--format", "csv")))))
        self.assertEqual(tuple(rows[0]), KEYS)
        self.assertEqual(len(rows), 2)
        m = dict(zip(KEYS, rows[1], strict=True))
        self.assertEqual((m["workload"], m["batch"], m["mistakes"]), ("count", "1000", ""))
        self.assertIn(", ", m["platform"])
        self.assertGreater(float(m["ms_per_step"]), 0)

    def test_table(self):
        m, = self.measured(*COUNT)
        text = self.passes(tally(*COUNT))
        header, row, *rest = text.splitlines()
        self.assertRegex(header, "^workload +device +route +ms/step +spread +GFLOP/s +peak +MiB +first s +seq/s$")
        self.assertRegex(row, r"^count +cpu +exact +[\d.,]+ +0.0 % +[\d.,]+ +[\d.]+ % +[\d.]+ +[\d.]+ +[\d,]+$")
        self.assertRegex("\n".join(rest), r"\nDevice     cpu \(cpu\), .*peak \d+ GFLOP/s, threads: \d")
        self.assertIn(f"\nWeights    count {m['weights_sha256'][:8]}\n", text)
        self.assertLessEqual(max(map(len, text.splitlines())), WIDTH)

    @unittest.skipIf(SANITIZED, "takes minutes")
    def test_every_workload(self):
        measured = self.measured(*BENCH)
        self.assertEqual([m["workload"] for m in measured],
                         ["count", "rows", "rows-gru", "rows-rnn", "rows-uneven", "rows-dropout", "deep", "pixels",
                          "score"])
        for m in measured:
            self.assertAlmostEqual(m["gflops"] * m["ms_per_step"] * 1e6 / flops(m), 1)
        score = measured[-1]
        self.assertEqual((score["batch"], score["weights_sha256"]), (1038576, measured[0]["weights_sha256"]))
        trained = self.passes_json("train", "count", "--device", "cpu", "--epochs", "1")
        self.assertEqual((score["batch"], score["mistakes"]), (trained["tested"], trained["mistakes"]))
        self.check_rows(measured[1:6])

    def check_rows(self, measured):
        """rows and its variants give the same weights as training on files with the same numbers."""
        self.assertEqual([(m["cell"], m["layers"], m["shortest"], m["dropout"]) for m in measured],
                         [("lstm", 1, 28, 0), ("gru", 1, 28, 0), ("rnn", 1, 28, 0), ("lstm", 1, 7, 0),
                          ("lstm", 2, 28, 0.2)])
        batch, steps, inputs, classes = (measured[0][key] for key in ("batch", "steps", "inputs", "classes"))
        values = batch * steps * inputs
        numbers = list(made_numbers(values + batch))
        x = write("x.npy", npy("<f4", (batch, steps, inputs),
                               struct.pack(f"<{values}f", *((n >> 40) * 2.0**-24 for n in numbers[:values]))))
        y = write("y.npy", npy("|u1", (batch,), bytes(n % classes for n in numbers[values:])))
        for m in measured:
            own = write("lengths.npy", npy("|u1", (batch,), bytes(lengths(m))))
            trained = self.passes_json("train", "npy", "--x", x, "--y", y, "--lengths", own, "--normalize", "none",
                                       "--hold-out", "0", "--no-shuffle", "--device", "cpu", "--batch", str(batch),
                                       "--hidden", str(m["hidden"]), "--layers", str(m["layers"]), "--cell", m["cell"],
                                       "--dropout", str(m["dropout"]), "--epochs", str(m["weights_after_steps"]))
            self.assertEqual(trained["steps"], m["weights_after_steps"])
            self.assertEqual(trained["weights_sha256"], m["weights_sha256"], m["workload"])

    @unittest.skipIf(SANITIZED, "takes minutes")
    def test_sweep(self):
        measured = self.measured(*BENCH, "--sweep")
        shapes = [(m["batch"], m["steps"], m["hidden"]) for m in measured]
        self.assertEqual(shapes, [(125 << i, 20, 24) for i in range(6)] + [(1000, 10 << i, 24) for i in range(4)] +
                         [(1000, 20, 12 << i) for i in range(5)])
        same = [m["weights_sha256"] for m, shape in zip(measured, shapes) if shape == (1000, 20, 24)]
        self.assertEqual((len(same), len(set(same))), (3, 1))
        self.assertEqual(measured[0]["workload"], "batch 125")

    def test_compare(self):
        m, = self.measured(*COUNT)
        m["ms_per_step"] *= 1000
        new, = self.measured(*COUNT, "--compare", self.written([m]))
        self.assertEqual(tuple(new), KEYS + COMPARED)
        self.assertEqual((new["old_ms_per_step"], new["weights_as_old"]), (m["ms_per_step"], "equal"))
        self.assertAlmostEqual(new["old_over_new"] * new["ms_per_step"] / m["ms_per_step"], 1)
        early = {key: value for key, value in m.items() if key not in VARIANT}
        new, = self.measured(*COUNT, "--compare", self.written([early]))
        self.assertEqual((new["old_ms_per_step"], new["weights_as_old"]), (m["ms_per_step"], "equal"))
        text = self.passes(tally(*COUNT, "--compare", self.written([m])))
        self.assertRegex(text, r"^.* old/new\n.* [\d.,]+\n")
        self.assertTrue(text.endswith("weights are those of the earlier run in 1 of 1 measurements\n"))
        self.assertLessEqual(max(map(len, text.splitlines())), WIDTH)
        text = self.passes(tally(*COUNT, "--compare", self.written([])))
        self.assertRegex(text, r"\n.* -\n")
        self.assertTrue(text.endswith("in 0 of 1 measurements\n"))

    def test_weights_that_are_not_those_of_the_earlier_run(self):
        m, = self.measured(*COUNT)
        m["weights_sha256"] = "0" * 64
        outcome = tally(*COUNT, "--compare", self.written([m]))
        self.assertEqual(outcome.code, PARITY)
        self.assertIn("DIFFERENT  count on cpu: ", outcome.out)
        self.assertIn("weights differ where they must be the same", outcome.err)
        outcome = tally(*COUNT, "--format", "json", "--compare", self.written([m]))
        self.assertEqual((outcome.code, json.loads(outcome.out)[0]["weights_as_old"]), (PARITY, "different"))
        others = {"version": "0.0.1", "route": "clblast", "arithmetic": "not", "batch": 999, "workload": "rows",
                  "cell": "gru", "shortest": 7, "dropout": 0.2}
        others = [dict(m, **{key: other}) for key, other in others.items()]
        new, = self.measured(*COUNT, "--compare", self.written(others))
        self.assertIsNone(new["weights_as_old"])

    def test_files_that_cannot_be_compared(self):
        m, = self.measured(*COUNT)
        wrong = {"not a list of measurements": {}, "measurement 1 is not an object": [1],
                 "measurement 2 has a missing or invalid weights_sha256":
                     [m, {k: v for k, v in m.items() if k != "weights_sha256"}],
                 "measurement 1 has a missing or invalid ms_per_step": [dict(m, ms_per_step=0)],
                 "measurement 1 has a missing or invalid batch": [dict(m, batch="1000")]}
        for text, measurements in wrong.items():
            name = self.written(measurements)
            self.fails(DATA, f"--compare {name}: ", text, args=(*COUNT, "--compare", name))
        name = path("no.json")
        with open(name, "w") as file:
            file.write("[\n{]")
        self.fails(DATA, f"--compare {name}: line 2 is not JSON", args=(*COUNT, "--compare", name))
        self.fails(IO, "--compare /nowhere: No such file", args=(*COUNT, "--compare", "/nowhere"))
        self.fails(IO, "--compare /: Is a directory", args=(*COUNT, "--compare", "/"))

    def test_what_is_not_there(self):
        self.fails(USAGE, "no workload 'cout'; did you mean count?", "Try: tally bench --help",
                   args=("bench", "--workload", "cout"))
        self.fails(USAGE, "no workload 'xyzzy'\n", args=("bench", "--workload", "xyzzy"))
        self.fails(USAGE, "--sweep: its shapes are count's, not those of rows",
                   args=("bench", "--sweep", "--workload", "rows"))
        self.fails(USAGE, "unexpected argument 'count': the command takes only options", args=("bench", "count"))
        self.fails(USAGE, "--format: 'xml' is not table or csv or json", args=("bench", "--format", "xml"))
        self.fails(USAGE, "--repeat: '0' is not a whole number from 1 to", args=("bench", "--repeat", "0"))
        self.fails(USAGE, "exact route only", args=(*COUNT, "--route", "clblast"))
        self.fails(DEVICE, '"no such device"', args=("bench", "--device", "no such device"))
        note = self.passes_json("devices")["opencl_note"]
        self.fails(DEVICE, note, args=("bench", "--device", "all", "--route", "clblast"))

    def test_all_devices_without_a_driver(self):
        m, = self.measured("bench", "--device", "all", "--workload", "count", "--repeat", "1")
        self.assertEqual(m["selector"], "cpu")

    def test_output_that_cannot_be_written(self):
        for form in "table", "csv", "json":
            with open("/dev/full", "wb") as full:
                self.fails(IO, "standard output: No space left on device", args=(*COUNT, "--format", form), stdout=full)

    def test_a_signal_stops_it_with_what_is_done(self):
        for form in "csv", "json":
            process = start(*BENCH, "--workload", "count", "--repeat", "1000", "--format", form)
            end = time.monotonic() + SECONDS
            while not catches(process, signal.SIGINT) and time.monotonic() < end:
                time.sleep(0.01)
            os.killpg(process.pid, signal.SIGINT)
            outcome = finish(process)
            self.assertEqual((outcome.code, outcome.err), (130, ""))
            self.assertEqual(outcome.out, {"csv": "", "json": "[]\n"}[form])
        process = start("bench", "--device", "cpu", "--format", "csv", "--repeat", "2")
        first = process.stdout.readline(), process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        outcome = finish(process)
        self.assertEqual((outcome.code, outcome.err), (130, ""))
        self.assertTrue(first[1].startswith(b'"'))

    def test_progress_on_a_terminal_only(self):
        for columns in 20, 100:
            terminal = Terminal(*COUNT, "--format", "json", columns=columns)
            code, out = terminal.finish()
            self.assertEqual((code, len(json.loads(out))), (0, 1))
            drawn = terminal.text().replace("\n", "\r").split("\r")
            self.assertLess(max(map(len, drawn)), columns)
            self.assertIn("100 %", terminal.text())
        self.assertRegex(terminal.text(), r"\r100 % \[#+\]  run 1 of 1  count  device cpu")


@unittest.skipIf(SANITIZED, "drivers leak, and a sanitizer's library wants to be the first")
class OpenCL(BenchCase):
    def test_devices_have_the_same_weights(self):
        pocl, env = self.pocl()
        old = self.measured(*COUNT)
        new, = self.measured("bench", "--workload", "count", "--repeat", "1", "--device", pocl, "--compare",
                             self.written(old), env=env)
        self.assertEqual((new["backend"], new["weights_as_old"], new["old_over_new"]), ("opencl", "equal", None))
        self.assertGreater(new["peak_gflops"], 0)


if __name__ == "__main__":
    main()
