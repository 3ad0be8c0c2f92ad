"""The tally command: its output, exit codes and files. TALLY and EXAMPLE are the programs' paths."""

import collections
import hashlib
import itertools
import json
import math
import os
import re
import resource
import select
import signal
import struct
import subprocess
import time
import unittest

from command_case import (DATA, DEVICE, IO, MEMORY, MODEL, NUMBERS, SANITIZED, SECONDS, USAGE, Case, Terminal, catches,
                          environment, finish, folder, main, path, start, tally)

EXAMPLE = os.environ["EXAMPLE"]
COMMANDS = ("train", "eval", "predict", "info", "devices", "parity", "bench")
# Quick to train; four micro-batches a batch, so that threads share the work.
SMALL = ("train", "count", "--device", "cpu", "--length", "8", "--hidden", "8", "--epochs", "30", "--batch", "256",
         "--train-size", "200", "--lr", "0.01")
ENDLESS = ("train", "count", "--device", "cpu", "--length", "6", "--hidden", "8", "--epochs", "1000000000")


def read_model(name):
    """The header and the data of a safetensors file."""
    with open(name, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(size)), file.read()


def write_model(name, header, data):
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(name, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


class WithModel(Case):
    @classmethod
    def setUpClass(cls):
        cls.model = path(cls.__name__ + ".safetensors")
        outcome = tally(*SMALL, "--epochs", "200", "--json", "--out", cls.model)
        assert outcome.code == 0, outcome.err
        cls.trained = json.loads(outcome.out)

    def changed(self, change):
        """A copy of the model's file after change(header, data), which returns the new data or None."""
        header, data = read_model(self.model)
        data = bytearray(data)
        change(header, data)
        name = path("changed.safetensors")
        write_model(name, header, bytes(data))
        return name


class Help(Case):
    def test_help_is_on_stdout_and_narrow(self):
        texts = [self.passes(tally(*args)) for args in (("--help",), ("help",))]
        self.assertEqual(texts[0], texts[1])
        for command in COMMANDS:
            self.assertIn(f"tally {command}", texts[0])
            asked = self.passes(tally(command, "--help"))
            self.assertEqual(asked, self.passes(tally("help", command)))
            self.assertEqual(asked, self.passes(tally(command, "--bad-option", "--help")))
            texts.append(asked)
        for text in texts:
            self.assertIn("Exit codes:", text)
            self.assertLessEqual(max(map(len, text.splitlines())), 80)

    def test_train_help_names_every_option_of_the_task_once(self):
        everywhere = {"cell", "layers", "hidden", "epochs", "batch", "optimizer", "lr", "weight-decay", "beta1",
                      "beta2", "epsilon", "momentum", "nesterov", "alpha", "dropout", "seed", "shuffle", "keep",
                      "patience", "lr-decay", "clip", "valid", "device", "route", "threads", "out", "save-every",
                      "resume", "weights-only", "log", "compare", "curves", "json", "verbose", "quiet",
                      "help"}
        files = {"normalize", "no-shuffle"}
        for task, own in (("count", {"preset", "length", "train-size", "draw"}), ("mnist", files | {"data"}),
                          ("npy", files | {"x", "y", "lengths", "test-x", "test-y", "test-lengths", "hold-out"})):
            named = re.findall(r"^  --([a-z0-9-]+)", self.passes(tally("train", task, "--help")), re.MULTILINE)
            self.assertEqual(sorted(named), sorted(everywhere | own))
            for option in set(named) - {"help"}:  # every option in the table is known
                outcome = tally("train", task, f"--{option}=", "--no-such-option")
                self.assertNotEqual(outcome.code, 0)
                self.assertNotIn(f"unknown option --{option}", outcome.err)

    def test_train_help_names_every_option_with_its_default(self):
        text = " ".join(self.passes(tally("train", "--help")).split())
        for option, default in {"device": "auto", "epochs": "5000", "batch": "1000", "hidden": "24", "length": "20",
                                "optimizer": "adam", "lr": "0.001, rmsprop 0.01, adagrad 0.01",
                                "weight-decay": "0, adamw 0.01", "beta1": "0.9", "beta2": "0.999",
                                "epsilon": "1e-08, adagrad 1e-10", "momentum": "0", "alpha": "0.99", "seed": "1",
                                "draw": "random", "keep": "last", "valid": "0", "patience": "0", "lr-decay": "none",
                                "clip": "0", "save-every": "0", "threads": "all processors"}.items():
            self.assertRegex(text, rf"--{option} [A-Z]+ [^()]*(\([^)]*\)[^()]*)*\(default: {default}\)")
        for option in ("train-size", "shuffle", "out", "resume", "weights-only", "log", "json", "verbose", "quiet"):
            self.assertIn(f"--{option} ", text)

    def test_version(self):
        self.assertRegex(self.passes(tally("--version")), r"^tally \d+\.\d+\.\d+\n$")


class Usage(Case):
    def test_no_command_and_unknown_command(self):
        self.fails(USAGE, "usage: tally", args=())
        self.fails(USAGE, "unknown command 'trian'; did you mean train?", "usage: tally", args=("trian",))
        self.fails(USAGE, "unknown command 'xyzzy'\n", args=("help", "xyzzy"))
        self.fails(USAGE, "unknown option '--verison'; did you mean --version?", args=("--verison",))

    def test_operands(self):
        for args in ((), ("--epochs", "3"), ("--data", "mnist"), ("--x", "x.npy", "--y", "y.npy")):
            self.fails(USAGE, "which task?", args=("train", *args))
        self.fails(USAGE, "unknown task 'sums'; the tasks are count", args=("train", "sums"))
        self.fails(USAGE, "unexpected argument 'count' after the task", args=("train", "count", "count"))
        self.fails(USAGE, "no FILE given", args=("eval",))
        self.fails(USAGE, "one FILE", args=("eval", "a", "b"))
        self.fails(USAGE, "no FILE given", args=("predict",))
        self.fails(USAGE, "not both", args=("predict", "a", "01", "-"))
        self.fails(USAGE, "'all'", args=("devices", "all"))

    def test_options(self):
        self.fails(USAGE, "unknown option --epoch; did you mean --epochs?", "Try: tally train --help",
                   args=("train", "count", "--epoch", "3"))
        self.fails(USAGE, "unknown option --trainsize; did you mean --train-size?",
                   args=("train", "count", "--trainsize=3"))
        self.fails(USAGE, "unknown option --xyzzy\n", args=("eval", "--xyzzy", "f"))
        self.fails(USAGE, "unknown option -j", args=("devices", "-j"))
        self.fails(USAGE, "option --json takes no value", args=("devices", "--json=1"))
        for args in (("--epochs",), ("--epochs", "--json")):
            self.fails(USAGE, "option --epochs needs a value", args=("train", "count", *args))

    def test_ranges(self):
        whole = "is not a whole number from"
        for option, value, wanted in (
                ("epochs", "0", f"{whole} 1 to"), ("epochs", "1e3", whole), ("epochs", "", whole),
                ("epochs", " 5", whole), ("epochs", "+5", whole), ("epochs", "-1", whole), ("batch", "0", whole),
                ("hidden", "0", whole), ("length", "25", f"{whole} 1 to 24"),
                ("train-size", "0", whole), ("threads", "0", whole), ("seed", "18446744073709551616", f"{whole} 0 to"),
                ("seed", "1x", whole), ("lr", "-1", "is not a number from 0"), ("lr", "nan", "is not a number"),
                ("lr", "1e-400", "is not a number from 0"), ("lr", "inf", "is not a number"),
                ("lr", "1e-3 ", "is not a number"), ("lr", "", "is not a number"),
                ("beta1", "1", "from 0 to below 1"), ("beta2", "1", "from 0 to below 1"),
                ("epsilon", "1e400", "is not a number"), ("draw", "odd", "is not random or even or runs"),
                ("keep", "first", "is not last or best")):
            with self.subTest(option=option, value=value):
                self.fails(USAGE, f"option --{option}: '{value}' ", wanted, args=("train", "count",
                                                                                f"--{option}={value}"))
        self.fails(USAGE, "--train-size: 65 is more than the 64 strings of 6 bits",
                   args=("train", "count", "--length", "6", "--train-size", "65"))

    def test_the_last_of_several_counts_and_dashes_end_options(self):
        result = self.passes_json(*SMALL, "--seed", "5", "--seed=7")
        self.assertEqual(result["seed"], "7")
        self.fails(IO, "--json", args=("eval", "--device", "cpu", "--", "--json"))


class Train(Case):
    def test_json(self):
        name = path("train.safetensors")
        r = self.passes_json(*SMALL, "--seed", "3", "--keep", "best", "--out", name)
        for key, value in {"task": "count", "backend": "cpu", "selector": "cpu", "epochs": 30, "length": 8,
                           "train_size": 200, "batch": 256, "hidden": 8, "steps": 30, "seed": "3", "draw": "random",
                           "learning_rate": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "shuffle": False,
                           "keep": "best", "tested": 56, "fallbacks": 0, "stopped": None, "out": name}.items():
            self.assertEqual(r[key], value, key)
        self.assertTrue(r["device"])
        self.assertEqual(r["error"], r["mistakes"] / r["tested"])
        self.assertEqual(sum(r["mistakes_by_count"]), r["mistakes"])
        self.assertEqual(sum(r["tested_by_count"]), r["tested"])
        self.assertTrue(all(t <= math.comb(8, k) for k, t in enumerate(r["tested_by_count"])))
        self.assertTrue(1 <= r["kept_epoch"] <= 30)
        self.assertAlmostEqual(r["ms_per_step"], 1000 * r["train_seconds"] / 30)
        self.assertAlmostEqual(r["sequences_per_second"] * r["train_seconds"], 30 * 200, places=3)
        self.assertTrue(0 < r["loss"] < math.log(9) * 2)
        example = r["example"]
        self.assertEqual(len(example["string"]), 8)
        self.assertEqual(example["ones"], example["string"].count("1"))
        # Nine float32 probabilities, each with an error of a few units of 2^-24.
        self.assertLess(abs(sum(example["probabilities"]) - 1), 9 * 4 * 2**-24)
        self.assertEqual(example["probability"], max(example["probabilities"]))
        self.assertEqual(example["probabilities"][example["count"]], example["probability"])

        header, data = read_model(name)
        notes = header.pop("__metadata__")
        weights = b"".join(data[slice(*header[key]["data_offsets"])] for key in sorted(header)
                           if key.startswith(("head.", "rnn.")))
        self.assertEqual(hashlib.sha256(weights).hexdigest(), r["weights_sha256"])
        self.assertEqual((notes.pop("tally.version"), notes.pop("tally.cell"), notes.pop("format")),
                         (r["version"], r["cell"], "pt"))
        self.assertEqual(json.loads(notes.pop("tally.training"))["epochs_done"], "30")
        self.assertRegex(notes.pop("tally.training_sha256"), "^[0-9a-f]{64}$")
        for key, text in notes.items():
            value = r[key]
            read = text if isinstance(value, str) else json.loads(text)
            self.assertEqual(read, value, key)
        self.assertEqual(set(notes),
                         {"task", "length", "shortest", "train_size", "draw", "seed", "epochs", "kept_epoch", "steps",
                                      "batch", "optimizer", "learning_rate", "weight_decay", "beta1", "beta2",
                                      "epsilon", "momentum", "nesterov", "alpha", "dropout", "shuffle", "keep",
                                      "epochs_wanted", "patience", "lr_decay", "clip", "valid", "valid_size",
                                      "device", "backend", "route", "threads", "train_seconds", "loss",
                                      "weights_sha256"})

    def test_the_same_weights_from_any_number_of_threads_and_others_from_other_options(self):
        def digest(*more):
            return self.passes_json(*SMALL, *more)["weights_sha256"]
        first = digest()
        self.assertRegex(first, "^[0-9a-f]{64}$")
        for threads in "1", "2", "3":
            self.assertEqual(digest("--threads", threads), first)
        others = [digest(*more) for more in (
            ("--seed", "2"), ("--draw", "even"), ("--draw", "runs"), ("--batch", "64"), ("--batch", "64", "--shuffle"),
            ("--lr", "0.02"), ("--beta1", "0.8"), ("--beta2", "0.99"), ("--epsilon", "1e-3"), ("--epochs", "31"),
            ("--hidden", "9"), ("--length", "9"), ("--train-size", "201"))]
        self.assertEqual(len({first, *others}), 1 + len(others))

    def test_threads_are_those_asked_for(self):
        self.assertEqual(self.passes_json(*SMALL, "--threads", "3")["threads"], 3)

    def test_a_seed_has_64_bits(self):
        name = path("seed.safetensors")
        trained = self.passes_json(*SMALL, "--seed", "18446744073709551615", "--out", name)
        self.assertEqual(trained["seed"], "18446744073709551615")
        tested = self.passes_json("eval", name, "--device", "cpu")
        self.assertEqual((tested["seed"], tested["mistakes"]), (trained["seed"], trained["mistakes"]))

    def test_sizes_of_the_training_part(self):
        short = ("train", "count", "--device", "cpu", "--hidden", "4", "--epochs", "1")
        for length, size in (1, 1), (2, 2), (6, 32), (14, 8192), (15, 10000):
            r = self.passes_json(*short, "--length", str(length))
            self.assertEqual((r["train_size"], r["tested"]), (size, 2**length - size))

    def test_even_draw_takes_every_string_of_rare_counts(self):
        r = self.passes_json(*SMALL, "--draw", "even", "--train-size", "90")
        # Ten strings for each count, but the outer counts have only 1 and 8: the other five share the difference.
        self.assertEqual(r["tested_by_count"][:2] + r["tested_by_count"][-2:], [0, 0, 0, 0])
        taken = [math.comb(8, k) - r["tested_by_count"][k] for k in range(2, 7)]
        self.assertEqual(sum(taken), 90 - 18)
        self.assertLessEqual(max(taken) - min(taken), 1)

    def test_draw_over_runs_is_known_to_eval(self):
        name = path("runs.safetensors")
        r = self.passes_json(*SMALL, "--draw", "runs", "--train-size", "90", "--out", name)
        kinds = collections.Counter((f"{i:08b}".count("1"), sum(a != b for a, b in itertools.pairwise(f"{i:08b}")))
                                    for i in range(256))
        share = max(n for n in range(90) if sum(min(size, n) for size in kinds.values()) <= 90)
        for k, tested in enumerate(r["tested_by_count"]):
            sizes = [size for (ones, _), size in kinds.items() if ones == k]
            taken = math.comb(8, k) - tested
            self.assertLessEqual(sum(min(size, share) for size in sizes), taken)
            self.assertLessEqual(taken, sum(min(size, share + 1) for size in sizes))
        tested = self.passes_json("eval", name, "--device", "cpu")
        for key in "draw", "tested_by_count", "mistakes_by_count":
            self.assertEqual(tested[key], r[key], key)

    def test_nothing_left_to_test(self):
        r = self.passes_json(*SMALL, "--train-size", "256")
        self.assertEqual((r["tested"], r["mistakes"], r["error"], r["example"]), (0, 0, None, None))
        self.assertIn("none: every string was trained on", self.passes(tally(*SMALL, "--train-size=256", "--quiet")))

    def test_text(self):
        name = path("text.safetensors")
        r = self.passes_json(*SMALL)
        text = self.passes(tally(*SMALL, "--quiet", "--out", name))
        self.assertIn(f"mistakes in {r['mistakes']} of 56 strings", text)
        self.assertIn(r["weights_sha256"], text)
        self.assertIn(name, text)
        self.assertIn(f"Predicted output for a sample string: {r['example']['string']}\n[[ ", text)
        printed = [float(p) for p in text[text.index("[[") + 2:text.index("]]")].split()]
        self.assertEqual(printed, [float(f"{p:.8e}") for p in r["example"]["probabilities"]])

    def test_verbose(self):
        outcome = tally(*SMALL, "--quiet", "--verbose", "--threads", "2")
        self.assertEqual(outcome.code, 0)
        for text in ("device cpu (cpu)", "threads 2, chunks of 64 sequences", "fell back to the C path: 0"):
            self.assertIn(text, outcome.err)

    def test_numbers_stop_it_and_the_last_whole_epoch_is_saved(self):
        # Without momentum an update is at most the rate: after the first step weights are finite, later they are not.
        name = path("numbers.safetensors")
        outcome = tally(*SMALL, "--lr", "2e38", "--beta1", "0", "--json", "--quiet", "--out", name)
        self.assertEqual(outcome.code, NUMBERS)
        self.assertRegex(outcome.err,
                         r"tally: step \d+ \(epoch \d+, batch 1\): (the loss|weight \S+) became -?(inf|nan)")
        r = json.loads(outcome.out)
        self.assertIn("became", r["stopped"])
        self.assertEqual((r["tested"], r["error"]), (0, None))
        self.assertEqual(r["out"], name)
        self.assertEqual(read_model(name)[0]["__metadata__"]["kept_epoch"], str(r["kept_epoch"]))
        self.assertEqual(r["kept_epoch"], r["steps"] - 1)

    def test_numbers_in_the_first_epoch_leave_nothing_to_save(self):
        name = path("nothing.safetensors")
        outcome = tally(*SMALL, "--lr", "3e38", "--json", "--out", name)
        self.assertEqual(outcome.code, NUMBERS)
        self.assertIn("step 1 (epoch 1, batch 1)", outcome.err)
        self.assertIn("no model saved", outcome.err)
        r = json.loads(outcome.out)
        self.assertEqual((r["kept_epoch"], r["loss"], r["out"]), (None, None, None))
        self.assertFalse(os.path.exists(name))

    def test_out_is_checked_before_training(self):
        with open(path("file"), "w"):
            pass
        for name, text in ((folder.name, "it is a directory"), (path("missing/m"), "No such file"),
                           (path("file/m"), "is not a directory"), (path("m/"), "names a directory"),
                           ("/dev/null", "not a regular file"), ("", "empty"), (path("m" * 256), "File name too long")):
            with self.subTest(name=name):
                self.fails(IO, "--out", text, args=(*ENDLESS, "--out", name))
        self.assertTrue(os.path.exists("/dev/null") and not os.path.isfile("/dev/null"))

    @unittest.skipIf(os.geteuid() == 0, "root may write everywhere")
    def test_out_in_a_folder_that_takes_no_files(self):
        locked = path("locked")
        os.mkdir(locked, 0o500)
        self.fails(IO, "Permission denied", args=(*ENDLESS, "--out", os.path.join(locked, "m")))

    @unittest.skipIf(os.geteuid() == 0, "root may write everywhere")
    def test_out_that_may_not_be_written(self):
        name = path("kept")
        os.close(os.open(name, os.O_CREAT, 0o400))
        self.fails(IO, "Permission denied", args=(*ENDLESS, "--out", name))

    def test_out_that_cannot_be_written_still_reports(self):
        taken = path("taken")
        os.mkdir(taken)
        name = os.path.join(taken, "m")
        process = start(*ENDLESS, "--json", "--out", name)
        process.stderr.readline()
        os.rmdir(taken)
        time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        outcome = finish(process)
        self.assertEqual(outcome.code, 128 + signal.SIGINT)
        self.assertIn("No such file", outcome.err)
        self.assertIsNone(json.loads(outcome.out)["out"])

    @unittest.skipIf(SANITIZED, "AddressSanitizer needs the address space")
    def test_no_memory(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20))
        self.fails(MEMORY, "no memory left", args=(*ENDLESS, "--quiet", "--hidden", "4096", "--threads", "1"),
                   before=limit)


class Eval(WithModel):
    def test_agrees_with_training(self):
        r = self.passes_json("eval", self.model, "--device", "cpu", "--threads", "1")
        for key in ("task", "epochs", "mistakes", "tested", "error", "weights_sha256", "train_seconds", "ms_per_step",
                    "sequences_per_second", "mistakes_by_count", "tested_by_count", "length", "train_size", "seed",
                    "draw", "hidden", "steps", "batch", "kept_epoch", "loss", "version", "device", "backend"):
            self.assertEqual(r[key], self.trained[key], key)
        self.assertEqual((r["threads"], r["trained_backend"], r["file"]), (1, "cpu", self.model))
        self.assertEqual(r["trained_device"], self.trained["device"])

    def test_table_of_counts(self):
        lines = self.passes(tally("eval", self.model, "--device", "cpu", "--quiet")).splitlines()
        at = lines.index("count     strings  mistakes")
        rows = [[int(cell) for cell in line.split()] for line in lines[at + 1:]]
        self.assertEqual(rows, [[k, self.trained["tested_by_count"][k], self.trained["mistakes_by_count"][k]]
                                for k in range(9)])

    def test_agrees_with_predictions(self):
        """Only one string was trained on, so all mistakes but at most one are in the test strings."""
        name = path("one.safetensors")
        self.passes_json(*SMALL, "--train-size", "1", "--out", name)
        strings = [f"{n:08b}" for n in range(256)]
        answers = self.passes(tally("predict", name, "--device", "cpu", feed="\n".join(strings).encode()))
        counts = [int(line.split()[1]) for line in answers.splitlines()]
        mistakes = sum(count != string.count("1") for count, string in zip(counts, strings))
        self.assertIn(mistakes - self.passes_json("eval", name, "--device", "cpu")["mistakes"], (0, 1))

    def test_files_that_cannot_be_read(self):
        for name, text in ((path("missing"), "No such file"), (folder.name, "directory")):
            for command in ("eval", "predict"):
                self.fails(IO, name, text, args=(command, name, "--device", "cpu"))

    def test_files_that_are_no_models(self):
        with open(self.model, "rb") as file:
            whole = file.read()
        for cut in (0, 7, 8, 100, len(whole) - 1):
            name = path("cut.safetensors")
            with open(name, "wb") as file:
                file.write(whole[:cut])
            for command in ("eval", "predict"):
                self.fails(MODEL, name, args=(command, name, "--device", "cpu"))

    def test_notes_that_are_missing_or_wrong(self):
        for key in ("task", "length", "train_size", "draw", "seed"):
            name = self.changed(lambda header, data: header["__metadata__"].pop(key))
            self.fails(MODEL, name, f"it has no note {key},", args=("eval", name, "--device", "cpu"))
        for key, value, text in (("length", "nine", "not a whole number"), ("length", "7", "8 counts"),
                                 ("seed", "-1", "not a whole number"), ("task", "digits", "not count"),
                                 ("draw", "odd", "not random or even or runs"), ("train_size", "257", "256 strings"),
                                 ("train_seconds", "nan", "not a number"), ("beta1", "1", "to below 1"),
                                 ("shuffle", "yes", "not true or false"), ("keep", "first", "not last or best"),
                                 ("optimizer", "lion", "not adam or adamw or sgd or rmsprop or adagrad"),
                                 ("lr_decay", "Cosine", "not none or cosine or step"),
                                 ("route", "1", "not auto or exact or clblast"),
                                 ("weights_sha256", "0" * 64, "SHA-256")):
            with self.subTest(key=key, value=value):
                name = self.changed(lambda header, data: header["__metadata__"].update({key: value}))
                self.fails(MODEL, name, f"its note {key}", text, args=("eval", name, "--device", "cpu"))

    def test_defaults_are_those_of_the_optimizer(self):
        settings = ("learning_rate", "weight_decay", "beta1", "beta2", "epsilon", "momentum", "nesterov", "alpha")
        for optimizer, options, values in (
                ("adam", (), (1e-3, 0, 0.9, 0.999, 1e-8, 0, False, 0)),
                ("adamw", (), (1e-3, 1e-2, 0.9, 0.999, 1e-8, 0, False, 0)),
                ("sgd", ("--momentum", "0.9", "--nesterov"), (1e-3, 0, 0, 0, 0, 0.9, True, 0)),
                ("rmsprop", ("--lr", "0.1"), (0.1, 0, 0, 0, 1e-8, 0, False, 0.99)),
                ("adagrad", ("--weight-decay", "0.1"), (1e-2, 0.1, 0, 0, 1e-10, 0, False, 0))):
            r = self.passes_json("train", "count", "--device", "cpu", "--length", "4", "--hidden", "2", "--epochs", "1",
                                 *options, "--optimizer", optimizer)
            self.assertEqual(tuple(r[key] for key in settings), values)
        names = "adam or adamw or sgd or rmsprop or adagrad"
        for options, text in ((("sgd", "--beta1", "0.5"), "--beta1: the optimizer sgd has no such setting"),
                              (("adam", "--momentum", "0.9"), "--momentum: the optimizer adam has no such setting"),
                              (("adam", "--nesterov"), "--nesterov: the optimizer adam has no such setting"),
                              (("sgd", "--nesterov"), "--optimizer: sgd: nesterov needs a momentum above 0"),
                              (("adagrad", "--weight-decay", "-1"), "--weight-decay: '-1' is not a number from 0 to"),
                              (("rmsprop", "--alpha", "1"), "--alpha: '1' is not a number from 0 to below 1"),
                              (("sgd", "--momentum", "1"), "--momentum: '1' is not a number from 0 to below 1"),
                              (("lion",), f"--optimizer: 'lion' is not {names}\n"),
                              (("sdg",), f"--optimizer: 'sdg' is not {names}; did you mean sgd?\n")):
            self.fails(USAGE, f"tally train: option {text}", "Try: tally train --help",
                       args=("train", "count", "--optimizer", *options))

    def test_names_are_noted_and_told_as_they_are_given(self):
        name = path("names.safetensors")
        for option, key, names in (("cell", "cell", ("lstm", "gru", "rnn", "rnn-relu")),
                                   ("draw", "draw", ("random", "even", "runs")), ("keep", "keep", ("last", "best")),
                                   ("optimizer", "optimizer", ("adam", "adamw", "sgd", "rmsprop", "adagrad")),
                                   ("lr-decay", "lr_decay", ("none", "cosine", "step"))):
            for given in names:
                told = self.passes_json(*SMALL, "--epochs", "1", f"--{option}", given, "--out", name)
                notes = read_model(name)[0]["__metadata__"]
                self.assertEqual((told[key], notes["tally.cell" if key == "cell" else key]), (given, given))
                self.assertEqual(json.loads(notes["tally.training"]).get(key, given), given)
                self.assertEqual(self.passes_json("info", name)[key], given)
                self.assertEqual(self.passes_json("train", "--resume", name, "--device", "cpu", "--epochs", "2")[key],
                                 given)

    def test_what_is_not_noted_is_not_told(self):
        name = self.changed(lambda header, data: header["__metadata__"].pop("length"))
        self.assertNotIn("bits", self.passes(tally("info", name)))

    def test_a_speed_that_cannot_be(self):
        for seconds, key in ("0", "sequences_per_second"), ("1e-320", "sequences_per_second"), ("1e308", "ms_per_step"):
            def change(header, data):
                header["__metadata__"].update({"train_seconds": seconds, "steps": str(2 ** 63 - 1), "batch": "1"})
            name = self.changed(change)
            self.assertIsNone(self.passes_json("eval", name, "--device", "cpu")[key])
            self.assertEqual("\nSpeed" in self.passes(tally("info", name)), seconds == "1e308")

    def test_notes_send_nothing_to_the_terminal(self):
        for key, command in (("device", "info"), ("backend", "info"), ("tally.version", "info"), ("seed", "eval"),
                             ("weights_sha256", "eval"), ("tally.training_sha256", "train")):
            name = self.changed(lambda header, data: header["__metadata__"].update({key: "\x1b[31m\u009b1m\nx"}))
            outcome = tally(command, *(["--resume"] if command == "train" else []), name)
            said = outcome.out + outcome.err
            self.assertIn("?[31m??1m?x", said)
            self.assertNotRegex(said, "[^ -~\n]")

    def test_only_the_notes_it_needs(self):
        def strip(header, data):
            notes = header["__metadata__"]
            header["__metadata__"] = {key: notes[key] for key in ("task", "length", "train_size", "draw", "seed")}
        r = self.passes_json("eval", self.changed(strip), "--device", "cpu")
        self.assertEqual((r["mistakes"], r["epochs"], r["ms_per_step"]), (self.trained["mistakes"], None, None))

    def test_damaged_weights(self):
        def damage(header, data):
            data[header["head.weight"]["data_offsets"][0]] ^= 1
        name = self.changed(damage)
        for command in ("eval", "predict"):
            self.fails(MODEL, "its note weights_sha256", args=(command, name, "--device", "cpu"))


class Predict(WithModel):
    def predict(self, *args, **kwargs):
        return tally("predict", self.model, "--device", "cpu", *args, **kwargs)

    def test_arguments_and_lines_agree(self):
        strings = [f"{n:08b}" for n in range(256)]
        expected = self.passes(self.predict(*strings))
        self.assertEqual([line.split()[0] for line in expected.splitlines()], strings)
        for end in "\n", "\r\n":
            feed = (end.join(strings) + end).encode()
            self.assertEqual(self.passes(self.predict(feed=feed)), expected)
            self.assertEqual(self.passes(self.predict("-", feed=feed)), expected)
        self.assertEqual(self.passes(self.predict(feed="\n".join(strings).encode())), expected)

    def test_more_lines_than_a_buffer_holds(self):
        strings = [f"{n % 256:08b}" for n in range(20000)]
        lines = self.passes(self.predict(feed="\n".join(strings).encode())).splitlines()
        self.assertEqual([line.split()[0] for line in lines], strings)

    def test_json(self):
        answers = self.passes(self.predict("01010101", "11111110")).splitlines()
        r = json.loads(self.passes(self.predict("01010101", "11111110", "--json", "--probabilities")))
        self.assertEqual(r["task"], "count")
        for line, p in zip(answers, r["predictions"], strict=True):
            self.assertEqual(line, f"{p['string']} {p['count']} {p['probability']:.6f}")
            self.assertEqual(p["probabilities"][p["count"]], p["probability"])
            self.assertEqual((len(p["probabilities"]), max(p["probabilities"])), (9, p["probability"]))
        self.assertEqual(set(json.loads(self.passes(self.predict("01010101", "--json")))["predictions"][0]),
                         {"string", "count", "probability"})

    def test_probabilities_of_the_example(self):
        example = self.trained["example"]
        r = json.loads(self.passes(self.predict(example["string"], "--json", "--probabilities")))["predictions"][0]
        self.assertEqual(r["probabilities"], example["probabilities"])
        text = self.passes(self.predict(example["string"], "--probabilities"))
        self.assertEqual([float(p) for p in text[text.index("[[") + 2:text.index("]]")].split()],
                         [float(f"{p:.8e}") for p in example["probabilities"]])

    def test_nothing_to_predict(self):
        self.assertEqual(self.passes(self.predict()), "")
        self.assertEqual(self.passes(self.predict(before=lambda: os.close(0))), "")
        self.assertEqual(json.loads(self.passes(self.predict("--json"))), {"task": "count", "predictions": []})

    def test_wrong_strings(self):
        for wrong, text in ((b"0101x101", "column 5: 'x' is neither"), (b"0101", "4 characters, but"),
                            (b"010101010", "9 characters, but the model takes strings of 8"), (b"", "it is empty"),
                            (b" 1010101", "column 1: the byte 0x20"), (b"01\xc3\xa9", "column 3: the byte 0xc3"),
                            (b"0101010\0", "column 8: the byte 0x00")):
            with self.subTest(wrong=wrong):
                feed = b"01010101\n11110000\n" + wrong + b"\n00000000\n"
                before = self.passes(self.predict("01010101", "11110000"))
                self.fails(DATA, "line 3", text, args=("predict", self.model, "--device", "cpu"), feed=feed, out=before)
                self.fails(DATA, "line 3", text, args=("predict", self.model, "--device", "cpu", "--json"), feed=feed)
                if b"\0" not in wrong:
                    self.fails(DATA, "argument 2", text,
                               args=("predict", self.model, "--device", "cpu", "01010101", os.fsdecode(wrong)))
        self.fails(DATA, "line 2: longer than", args=("predict", self.model, "--device", "cpu", "--json"),
                   feed=b"01010101\n" + b"0" * 100000)

    def test_answers_before_the_next_line_comes(self):
        process = start("predict", self.model, "--device", "cpu", stdin=subprocess.PIPE)
        for string in b"01010101", b"00000000":
            process.stdin.write(string + b"\n")
            process.stdin.flush()
            self.assertTrue(select.select([process.stdout], [], [], SECONDS)[0])
            self.assertEqual(process.stdout.readline().split()[0], string)
        self.assertEqual(self.passes(finish(process)), "")

    def test_weights_that_overflow(self):
        def huge(header, data):
            first, last = header["head.bias"]["data_offsets"]
            data[first:last] = struct.pack("<9f", *[3e38, -3e38] * 4, 0)
            first, last = header["head.weight"]["data_offsets"]
            data[first:last] = struct.pack("<72f", *[3e38] * 36, *[-3e38] * 36)
            header["__metadata__"].pop("weights_sha256")
        self.fails(NUMBERS, "01010101", "not a number",
                   args=("predict", self.changed(huge), "--device", "cpu", "01010101"))

    def test_a_pipe_closed_early(self):
        for restored, codes in (True, (-signal.SIGPIPE,)), (False, (IO,)):
            with open(path("many"), "wb") as file:
                file.write(b"01010101\n" * 200000)
            with open(path("many"), "rb") as file:
                process = start("predict", self.model, "--device", "cpu", stdin=file, restore_signals=restored)
                self.assertTrue(process.stdout.readline().startswith(b"01010101"))
                process.stdout.close()
                self.assertEqual(process.stderr.read(), b"")
                process.stderr.close()
                self.assertIn(process.wait(timeout=SECONDS), codes)

    def test_output_that_cannot_be_written(self):
        predict = ("predict", self.model, "--device", "cpu", "01010101")
        for args in predict, (*predict, "--json"), ("--help",), ("train", "--help"), ("devices",), (*SMALL, "--quiet"):
            with open("/dev/full", "wb") as full:
                self.fails(IO, "standard output: No space left on device", args=args, stdout=full)
        self.fails(IO, "standard output: Bad file descriptor", args=predict, before=lambda: os.close(1))

    def test_input_that_cannot_be_read(self):
        directory = os.open(folder.name, os.O_RDONLY)
        self.fails(IO, "standard input: Is a directory", args=("predict", self.model, "--device", "cpu"),
                   stdin=directory)
        os.close(directory)


class Example(Case):
    def test_the_example_learns_and_its_file_is_used_as_any_other(self):
        name = path("example.safetensors")
        run = subprocess.run([EXAMPLE, name], capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        printed = [line.split(" ones: probability ") for line in run.stdout.splitlines()]
        self.assertEqual([int(ones) for ones, _ in printed], list(range(9)))
        self.assertGreater(float(printed["01101001".count("1")][1]), 0.5)
        # A file without notes: prediction needs none and accepts any length.
        p = self.passes_json("predict", name, "01101001", "011", "--probabilities", "--device", "cpu")["predictions"]
        self.assertEqual([f"{q:.4f}" for q in p[0]["probabilities"]], [q for _, q in printed])
        self.assertEqual([q["string"] for q in p], ["01101001", "011"])
        self.fails(MODEL, name, "it has no note task", args=("eval", name, "--device", "cpu"))
        failed = subprocess.run([EXAMPLE, path("missing/m")], capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual((failed.returncode, failed.stdout), (IO, ""))
        self.assertIn("No such file", failed.stderr)


class Devices(WithModel):
    def test_the_c_path_is_always_there(self):
        r = self.passes_json("devices")
        self.assertEqual([(d["selector"], d["backend"], d["auto"]) for d in r["devices"]], [("cpu", "cpu", True)])
        self.assertTrue(r["opencl_note"])
        text = self.passes(tally("devices"))
        self.assertRegex(text, r"(?m)^\* cpu +cpu +cpu +\S")
        self.assertIn("No OpenCL device: " + r["opencl_note"], text)
        self.assertIn("compute units", self.passes(tally("devices", "--verbose")))

    def test_an_unknown_instruction_set_is_an_error(self):
        env = environment(TALLY_CPU="sse9")
        for args in ("devices",), ("bench", "--device", "cpu"), (*SMALL, "--device", "opencl"):
            self.fails(DEVICE, "TALLY_CPU=sse9: there are baseline, avx2 and avx512", args=args, env=env)

    def test_without_a_driver_opencl_is_an_error(self):
        note = self.passes_json("devices")["opencl_note"]
        for args in SMALL, ("eval", self.model), ("predict", self.model, "01010101"):
            self.fails(DEVICE, note, args=(*args, "--device", "opencl"))
        self.assertEqual(self.passes_json(*SMALL, "--device", "auto")["backend"], "cpu")

    def test_an_unknown_device_lists_those_there_are(self):
        name = self.passes_json("devices")["devices"][0]["name"]
        for selector in "no such device", "7:7", "":
            self.fails(DEVICE, f'"{selector}"', f"cpu ({name})", args=(*SMALL, "--device", selector))

    @unittest.skipIf(SANITIZED, "drivers leak")
    def test_every_opencl_device_that_is_here(self):
        devices, env = self.drivers()
        self.assertEqual(sum(d["auto"] for d in self.passes_json("devices", env=env)["devices"]), 1)
        for device in devices:
            with self.subTest(device=device["name"]):
                name = path("opencl.safetensors")
                trained = self.passes_json(*SMALL, "--device", device["selector"], "--route", "exact", "--out", name,
                                           env=env)
                self.assertEqual((trained["backend"], trained["selector"], trained["device"], trained["route"]),
                                 ("opencl", device["selector"], device["name"], "exact"))
                tested = self.passes_json("eval", name, "--device", "cpu")
                self.assertEqual(tested["weights_sha256"], trained["weights_sha256"])
                self.assertEqual((tested["backend"], tested["trained_backend"]), ("cpu", "opencl"))
                self.assertEqual(trained["weights_sha256"],
                                 self.passes_json(*SMALL, "--device", "cpu")["weights_sha256"])
                other = self.passes_json(*SMALL, "--device", device["selector"], "--route", "clblast", "--out", name,
                                         env=env)
                self.assertEqual(other["route"], "clblast")
                self.assertEqual(self.passes_json("eval", name, "--device", "cpu")["trained_route"], "clblast")
                shown = tally("devices", "--verbose", env=env)
                self.assertEqual(shown.code, 0)
                self.assertIn("arithmetic: ", shown.out)

    def test_the_c_path_has_one_route(self):
        r = self.passes_json(*SMALL, "--device", "cpu", "--route", "exact")
        self.assertEqual(r["route"], "exact")
        self.fails(USAGE, "the cpu device has the exact route only",
                   args=(*SMALL, "--device", "cpu", "--route", "clblast"))
        self.fails(USAGE, "--route: 'fast' is not", args=(*SMALL, "--route", "fast"))


class Stopping(Case):
    def stop(self, process, number=signal.SIGINT):
        """Waits for the line that says that training has begun, and for a few short epochs."""
        self.assertIn(b"training on", process.stderr.readline())
        time.sleep(0.3)
        os.killpg(process.pid, number)
        return finish(process)

    def test_the_last_whole_epoch_is_saved(self):
        for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
            name = path(f"stopped-{number}.safetensors")
            outcome = self.stop(start(*ENDLESS, "--json", "--out", name), number)
            self.assertEqual(outcome.code, 128 + number)
            r = json.loads(outcome.out)
            self.assertEqual((r["stopped"], r["out"], r["tested"], r["error"]), ("interrupted", name, 0, None))
            self.assertGreaterEqual(r["epochs"], 1)
            self.assertEqual(r["kept_epoch"], r["epochs"])
            self.assertIn(f"the model of epoch {r['epochs']} is in {name}", outcome.err)
            self.assertEqual(read_model(name)[0]["__metadata__"]["epochs"], str(r["epochs"]))
            tested = self.passes_json("eval", name, "--device", "cpu")
            self.assertEqual((tested["weights_sha256"], tested["epochs"], tested["tested"]),
                             (r["weights_sha256"], r["epochs"], 32))

    def test_it_is_the_model_of_that_epoch(self):
        """A run stopped within an epoch has the weights of a run that ends with the last complete epoch."""
        big = ("train", "count", "--device", "cpu", "--length", "12", "--hidden", "8", "--batch", "8", "--json")
        stopped = json.loads(self.stop(start(*big)).out)
        if stopped["epochs"] == 0:
            self.skipTest("too slow for one epoch")
        whole = self.passes_json(*big, "--epochs", str(stopped["epochs"]))
        self.assertEqual(stopped["weights_sha256"], whole["weights_sha256"])
        self.assertEqual(stopped["loss"], whole["loss"])

    def test_before_the_first_epoch_there_are_no_weights_to_save(self):
        name = path("none.safetensors")
        outcome = self.stop(start("train", "count", "--device", "cpu", "--train-size", "1000000", "--batch", "16",
                                  "--hidden", "64", "--json", "--weights-only", "--out", name))
        self.assertEqual(outcome.code, 130)
        r = json.loads(outcome.out)
        self.assertEqual((r["epochs"], r["kept_epoch"], r["out"]), (0, None, None))
        self.assertGreaterEqual(r["steps"], 1)
        self.assertIn("no model saved", outcome.err)
        self.assertFalse(os.path.exists(name))

    def test_text(self):
        outcome = self.stop(start(*ENDLESS))
        self.assertEqual(outcome.code, 130)
        self.assertIn("Stopped      interrupted\nTest error   not known", outcome.out)

    def test_a_second_signal_ends_it_at_once(self):
        # One step takes seconds.
        process = start("train", "count", "--device", "cpu", "--hidden", "1024", "--batch", "4000")
        self.assertIn(b"training on", process.stderr.readline())
        self.assertTrue(catches(process, signal.SIGINT))
        os.killpg(process.pid, signal.SIGINT)
        end = time.monotonic() + SECONDS
        while catches(process, signal.SIGINT) and time.monotonic() < end:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        self.assertEqual(finish(process).code, -signal.SIGINT)

    def test_nobody_who_reads_its_progress_does_not_end_it(self):
        name = path("unread.safetensors")
        process = start(*SMALL, "--epochs", "1000", "--json", "--out", name)
        self.assertIn(b"training on", process.stderr.readline())
        process.stderr.close()
        process.stderr = None
        outcome = finish(process)
        self.assertEqual((outcome.code, json.loads(outcome.out)["epochs"]), (0, 1000))
        self.assertTrue(os.path.exists(name))

    def test_an_ignored_hangup_stays_ignored(self):
        process = start(*ENDLESS, "--json", before=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        self.assertIn(b"training on", process.stderr.readline())
        os.killpg(process.pid, signal.SIGHUP)
        time.sleep(0.3)
        self.assertIsNone(process.poll())
        os.killpg(process.pid, signal.SIGINT)
        self.assertEqual(finish(process).code, 130)


class Progress(WithModel):
    def test_a_bar_as_wide_as_the_terminal(self):
        for columns in 1, 5, 20, 40, 80, 132, 300:
            with self.subTest(columns=columns):
                terminal = Terminal(*SMALL, "--epochs", "2000", "--json", columns=columns)
                code, out = terminal.finish()
                self.assertEqual(code, 0)
                self.assertEqual(json.loads(out)["epochs"], 2000)
                text = terminal.text()
                drawn = text.replace("\n", "\r").split("\r")
                self.assertLess(max(map(len, drawn)), max(columns, 2))
                self.assertNotIn("\x1b", text)
                if columns >= 80:
                    self.assertRegex(text, r"\r100 % \[#{10,40}\]  .*[\d,]+ strings/s  error [\d.]+ %  loss [\d.e-]+  "
                                           r"0s left")
                    self.assertRegex(text, r"\r100 % \[#+\]  tested 56 strings")
                if columns >= 132:
                    self.assertIn("]  epoch 2000/2000  ", text)

    def test_columns_where_the_terminal_does_not_say(self):
        terminal = Terminal(*SMALL, "--json", columns=0, COLUMNS="50")
        terminal.finish()
        longest = max(map(len, terminal.text().replace("\n", "\r").split("\r")))
        self.assertTrue(40 <= longest < 50, longest)

    def test_a_bar_in_eval(self):
        terminal = Terminal("eval", self.model, "--device", "cpu", "--json", columns=80)
        code, out = terminal.finish()
        self.assertEqual((code, json.loads(out)["tested"]), (0, 56))
        self.assertIn("tested 56 strings", terminal.text())

    def test_lines_without_a_terminal(self):
        for env in ({}, {"TERM": "xterm", "COLUMNS": "80"}):
            outcome = tally(*SMALL, env=environment(**env))
            self.assertNotIn("\r", outcome.err)
            lines = outcome.err.splitlines()
            self.assertEqual(lines[0], "training on 200 strings of 8 bits for 30 epochs")
            self.assertEqual(len(lines), 11)
            for i, line in enumerate(lines[1:], 1):
                self.assertRegex(line, rf"^epoch {3 * i} of 30: loss \S+ a string, error \S+ % of a sample, "
                                       r"[\d,]+ strings/s, \S+ left$")

    def test_lines_on_a_terminal_that_cannot_redraw(self):
        terminal = Terminal(*SMALL, columns=80, TERM="dumb")
        terminal.finish()
        self.assertNotIn("\r", terminal.text())
        self.assertIn("epoch 30 of 30", terminal.text())

    def test_quiet(self):
        terminal = Terminal(*SMALL, "--quiet", columns=80)
        self.assertEqual(terminal.finish()[0], 0)
        self.assertEqual(terminal.shown, b"")
        self.assertEqual(tally(*SMALL, "--quiet").err, "")

    def test_what_is_said_beside_a_bar_has_a_line_of_its_own(self):
        terminal = Terminal(*SMALL, "--log", "/dev/full", "--json", columns=80)
        self.assertEqual(terminal.finish()[0], IO)
        self.assertIn("\ntally: --log /dev/full: No space left on device\n", terminal.text())

    def test_watching_changes_no_weight(self):
        _, out = Terminal(*SMALL, "--json", columns=80).finish()
        self.assertEqual(json.loads(out)["weights_sha256"], self.passes_json(*SMALL)["weights_sha256"])

    def test_ctrl_c_at_the_terminal(self):
        name = path("terminal.safetensors")
        terminal = Terminal(*ENDLESS, "--out", name, columns=100)
        while not any(part.split("/")[0].isdigit() and int(part.split("/")[0]) > 0
                      for part in terminal.text().split("epoch ")[1:]):
            self.assertTrue(terminal.read())
        os.write(terminal.master, b"\x03")
        code, out = terminal.finish()
        self.assertEqual(code, 130)
        epochs = read_model(name)[0]["__metadata__"]["epochs"]
        self.assertRegex(terminal.text(), rf"left *(\^C)?\nthe model of epoch {epochs} is in")
        self.assertIn("Stopped      interrupted", out)


if __name__ == "__main__":
    main()
