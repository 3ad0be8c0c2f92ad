"""The command with every cell, with layers, dropout and strings of several lengths; tally info; tally train --compare.
TALLY is the command's path, FIXTURES a folder with models written by PyTorch and with mnist."""

import csv
import json
import os
import resource
import signal
import time
import unittest

from command_case import (DATA, IO, MEMORY, MODEL, NUMBERS, SANITIZED, USAGE, Case, Terminal, finish, folder, main,
                          path, start, tally)

FIXTURES = os.environ["FIXTURES"]
ROWS = {"lstm": 4, "gru": 3, "rnn": 1, "rnn-relu": 1}  # rows of each weight for one unit
# 504 strings, half of them for training; four micro-batches a batch, so that threads share the work.
SEVERAL = ("train", "count", "--device", "cpu", "--length", "3..8", "--hidden", "6", "--epochs", "12", "--batch",
           "250", "--lr", "0.02")
EPOCHS = 4000 if SANITIZED else 20000  # long enough to be interrupted
SHAPES = [(cell, *shape) for cell in ROWS for shape in ((1, 0), (3, 0), (3, 0.2))]


def shaped(cell, layers, dropout):
    return (*SEVERAL, "--cell", cell, "--layers", str(layers), *(("--dropout", str(dropout)) if dropout else ()))


def parameters(cell, layers, hidden, inputs, classes):
    """The parameters' names and shapes, as in PyTorch."""
    rows = ROWS[cell] * hidden
    shapes = {"head.bias": [classes], "head.weight": [classes, hidden]}
    for layer in range(layers):
        shapes[f"rnn.bias_hh_l{layer}"] = shapes[f"rnn.bias_ih_l{layer}"] = [rows]
        shapes[f"rnn.weight_hh_l{layer}"] = [rows, hidden]
        shapes[f"rnn.weight_ih_l{layer}"] = [rows, hidden if layer > 0 else inputs]
    return shapes


def elements(shape):
    return shape[0] * (shape[1] if len(shape) > 1 else 1)


class Cells(Case):
    def test_the_same_from_any_number_of_threads_saved_evaluated_and_predicted(self):
        digests = set()
        for cell, layers, dropout in SHAPES:
            with self.subTest(cell=cell, layers=layers, dropout=dropout):
                name = path("cells.safetensors")
                args = shaped(cell, layers, dropout)
                r = self.passes_json(*args, "--threads", "1", "--out", name)
                self.assertEqual((r["cell"], r["layers"], r["hidden"], r["dropout"], r["shortest"], r["length"],
                                  r["train_size"], r["tested"]), (cell, layers, 6, dropout, 3, 8, 252, 252))
                digests.add(r["weights_sha256"])
                again = self.passes_json(*args, "--threads", "2")
                for key in "weights_sha256", "loss", "mistakes":
                    self.assertEqual(again[key], r[key], key)

                tested = self.passes_json("eval", name, "--device", "cpu")
                for key in ("weights_sha256", "cell", "layers", "hidden", "dropout", "shortest", "length", "loss",
                            "mistakes", "tested", "mistakes_by_count", "tested_by_count"):
                    self.assertEqual(tested[key], r[key], key)

                example = r["example"]
                strings = ["010", "11011011", example["string"], "00100", "111"]
                predict = ("predict", name, "--device", "cpu", "--probabilities")
                together = self.passes_json(*predict, *strings)["predictions"]
                self.assertEqual([p["string"] for p in together], strings)
                self.assertEqual((together[2]["count"], together[2]["probabilities"]),
                                 (example["count"], example["probabilities"]))
                for p, string in zip(together, strings):
                    self.assertEqual(self.passes_json(*predict, string)["predictions"], [p])
        self.assertEqual(len(digests), len(SHAPES))

    def test_they_learn(self):
        for cell in ROWS:
            r = self.passes_json(*SEVERAL, "--cell", cell, "--layers", "2", "--epochs", "400")
            self.assertLess(r["error"], 0.1, cell)

    @unittest.skipIf(SANITIZED, "drivers leak")
    def test_the_same_on_pocl(self):
        pocl, env = self.pocl()
        for cell, layers, dropout in SHAPES:
            with self.subTest(cell=cell, layers=layers, dropout=dropout):
                args = shaped(cell, layers, dropout)
                want = self.passes_json(*args)
                got = self.passes_json(*args, "--device", pocl, "--route", "exact", env=env)
                self.assertEqual((got["backend"], got["fallbacks"]), ("opencl", 0))
                for key in "weights_sha256", "loss", "mistakes_by_count":
                    self.assertEqual(got[key], want[key], key)

    def test_strings_of_other_lengths(self):
        name = path("lengths.safetensors")
        self.passes_json(*SEVERAL, "--out", name)
        predict = ("predict", name, "--device", "cpu")
        for string in "01", "010101010":
            why = f"{len(string)} characters, but the model takes strings of 3 to 8"
            self.fails(DATA, f"argument 2: {why}", args=(*predict, "010", string))
            outcome = tally(*predict, "-", feed=f"010\n{string}\n011\n".encode())
            self.assertEqual((outcome.code, outcome.err), (DATA, f"tally: line 2: {why}\n"))
            self.assertEqual([line.split()[0] for line in outcome.out.splitlines()], ["010"])

    def test_options(self):
        for length in "9..3", "0..4", "5..99", "..5", "5..", "5..6..7", "5-7", "-3..5", "..", "0", "25":
            self.fails(USAGE, f"option --length: '{length}' is not a whole number from 1 to 24, or two: 5..20\n",
                       args=("train", "count", f"--length={length}"))
        self.fails(USAGE, "option --cell: 'ltsm' is not lstm or gru or rnn or rnn-relu; did you mean lstm?\n",
                   args=("train", "count", "--cell", "ltsm"))
        for layers in "0", "65":
            self.fails(USAGE, f"option --layers: '{layers}' is not a whole number from 1 to 64\n",
                       args=("train", "count", "--layers", layers))
        self.fails(USAGE, "option --dropout: it applies between layers, but there is only one\n",
                   args=("train", "count", "--dropout", "0.1"))
        for share in "1", "-0.1":
            self.fails(USAGE, f"option --dropout: '{share}' is not a number from 0 to below 1\n",
                       args=("train", "count", "--layers", "2", f"--dropout={share}"))
        self.fails(USAGE, "option --train-size: 57 is more than the 56 strings of 3 to 5 bits\n",
                   args=("train", "count", "--length", "3..5", "--train-size", "57"))

    def test_one_length_may_be_said_as_two(self):
        one = self.passes_json(*SEVERAL, "--length", "7")
        two = self.passes_json(*SEVERAL, "--length", "7..7")
        self.assertEqual((one["shortest"], one["length"], one["weights_sha256"]),
                         (two["shortest"], two["length"], two["weights_sha256"]))

    def test_help_names_the_fields(self):
        mnist = ("train", "mnist", "--data", os.path.join(os.environ["FIXTURES"], "mnist"), "--hidden", "2",
                 "--epochs", "1", "--device", "cpu")
        for args in SEVERAL, mnist:
            text = " ".join(self.passes(tally("train", args[1], "--help")).split())
            fields = text[text.index("The JSON object has "):text.index("Options:")]
            for key in self.passes_json(*args):
                self.assertRegex(fields, rf"[ ,]{key}\b")
        self.assertIn("a model of several lengths takes strings of all of them",
                      " ".join(self.passes(tally("predict", "--help")).split()))


class Info(Case):
    def test_json_agrees_with_training(self):
        name = path("info.safetensors")
        for cell, layers, dropout in SHAPES:
            trained = self.passes_json(*shaped(cell, layers, dropout), "--valid", "0.1", "--seed",
                                       "18446744073709551615", "--out", name)
            r = self.passes_json("info", name)
            # Results of the device and of the test are not stored in the model.
            for key in set(trained) - {"selector", "fallbacks", "ms_per_step", "sequences_per_second", "mistakes",
                                       "tested", "error", "test_seconds", "mistakes_by_count", "tested_by_count",
                                       "out", "stopped", "example"}:
                self.assertEqual(r[key], trained[key], key)
            shapes = parameters(cell, layers, 6, 1, 9)
            self.assertEqual({p["name"]: p["shape"] for p in r["parameters"]}, shapes)
            self.assertEqual([p["elements"] for p in r["parameters"]], [elements(p["shape"]) for p in r["parameters"]])
            count = sum(map(elements, shapes.values()))
            self.assertEqual((r["parameter_count"], r["weights_bytes"], r["file_bytes"], r["file"]),
                             (count, 4 * count, os.path.getsize(name), name))
            self.assertEqual((r["inputs"], r["classes"], r["resumable"]), (1, 9, True))
            self.assertEqual(set(r) - set(trained),
                             {"inputs", "classes", "parameters", "parameter_count", "file", "file_bytes",
                              "weights_bytes", "resumable"})

    def test_text(self):
        name = path("text.safetensors")
        trained = self.passes_json(*shaped("gru", 3, 0.2), "--valid", "0.1", "--clip", "5", "--lr-decay", "cosine",
                                   "--out", name)
        text = self.passes(tally("info", name))
        for line in ("Model        cell gru, 3 layers of 6 hidden, 1 input a step, 9 classes",
                     "Parameters   729 in 14 tensors, 2,916 bytes",
                     f"Model file   {name}, {os.path.getsize(name):,} bytes",
                     "Task         count: strings of 3 to 8 bits",
                     "Resumable    yes, after epoch 12 of 12, 12 steps",
                     f"Weights      SHA-256 {trained['weights_sha256']}"):
            self.assertIn(line + "\n", text)
        # As in eval.
        tested = self.passes(tally("eval", name, "--device", "cpu", "--quiet"))
        for word in "Trained", "Speed", "Loss", "Validation":
            line = next(line for line in tested.splitlines() if line.startswith(word))
            self.assertIn(line + "\n", text)
        words = " ".join(text.split())
        for option in ("seed 1", "draw random", "batch 250", "learning rate 0.02", "dropout 0.2", "shuffle false",
                       "keep last", "lr decay cosine", "clip 5", "valid 0.1"):
            self.assertRegex(words, rf"Options [^:]*\b{option}\b")
        self.assertRegex(text, r"\nTrained on   .* \(cpu\), route: exact, threads: \d+, by tally \d")
        rows = [line.split() for line in text[text.index("\nparameter "):].splitlines()[2:]]
        self.assertEqual({row[0]: (" ".join(row[1:-1]), int(row[-1])) for row in rows},
                         {n: (str(s), elements(s)) for n, s in parameters("gru", 3, 6, 1, 9).items()})
        self.assertLessEqual(max(len(line) for line in text.splitlines() if name not in line and "SHA" not in line and
                                 "Trained on" not in line), 80)

    def test_without_the_state_of_training(self):
        name = path("weights.safetensors")
        self.passes_json(*SEVERAL, "--weights-only", "--out", name)
        self.assertIs(self.passes_json("info", name)["resumable"], False)
        text = self.passes(tally("info", name))
        self.assertIn("Resumable    no: it has no training state\n", text)
        self.assertIn("Trained      12 epochs of 252 of the 504 strings of 3 to 8 bits", text)
        self.fails(MODEL, "no training state", args=("train", "--resume", name))

    def test_where_a_run_was_stopped(self):
        name = path("stopped.safetensors")
        process = start(*SEVERAL, "--epochs", "1000000000", "--json", "--out", name)
        self.assertIn(b"training on", process.stderr.readline())
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        outcome = finish(process)
        self.assertEqual(outcome.code, 130)
        r = json.loads(outcome.out)
        self.assertIn(f"Resumable    yes, after epoch {r['epochs']:,} of 1,000,000,000, {r['steps']:,} steps\n",
                      self.passes(tally("info", name)))

    def test_models_of_pytorch(self):
        for cell in ROWS:
            for layers in 1, 3:
                name = os.path.join(FIXTURES, f"torch_{cell}_{layers}.safetensors")
                r = self.passes_json("info", name)
                self.assertEqual((r["cell"], r["layers"], r["resumable"]), (cell, layers, False))
                self.assertEqual({p["name"]: p["shape"] for p in r["parameters"]},
                                 parameters(cell, layers, r["hidden"], r["inputs"], r["classes"]))
                for key in "task", "version", "seed", "epochs", "epochs_wanted", "batch", "loss", "device":
                    self.assertIsNone(r[key], key)
                self.assertRegex(r["weights_sha256"], "^[0-9a-f]{64}$")
                text = self.passes(tally("info", name))
                self.assertIn("Training     unknown: the file has no notes from tally train\n", text)
                self.assertIn("Resumable    no: ", text)
                for word in "Task", "Trained", "Options":
                    self.assertNotIn("\n" + word, text)

    def test_a_model_of_images(self):
        name = path("images.safetensors")
        trained = self.passes_json("train", "mnist", "--data", os.path.join(FIXTURES, "mnist"), "--cell", "rnn",
                                   "--hidden", "8", "--epochs", "1", "--device", "cpu", "--out", name)
        r = self.passes_json("info", name)
        for key in ("task", "cell", "inputs", "classes", "time_steps", "normalize", "mean", "deviation",
                    "weights_sha256"):
            self.assertEqual(r[key], trained[key], key)
        text = self.passes(tally("info", name))
        self.assertIn(f"Task         mnist: images of {r['time_steps']} rows of {r['inputs']} inputs\n", text)
        self.assertIn("normalize standard, mean ", " ".join(text.split()))

    def test_errors_are_those_of_eval(self):
        good, damaged, wrong = path("good.safetensors"), path("damaged.safetensors"), path("wrong.safetensors")
        self.passes_json(*SEVERAL, "--weights-only", "--out", good)
        with open(good, "rb") as file:
            data = bytearray(file.read())
        data[-3] ^= 1
        with open(damaged, "wb") as file:
            file.write(data)
        with open(wrong, "wb") as file:
            file.write(b"no model at all")
        for name, code, text in ((path("nowhere"), IO, "No such file"), (folder.name, IO, folder.name),
                                 (wrong, MODEL, wrong), (damaged, MODEL, "its note weights_sha256 says")):
            self.fails(code, text, args=("info", name))
            self.fails(code, text, args=("info", name, "--json"))
            self.assertEqual(tally("info", name).err, tally("eval", name, "--device", "cpu").err)
        self.fails(USAGE, "no FILE given", "Try: tally info --help", args=("info",))
        self.fails(USAGE, "one FILE at a time", args=("info", good, good))
        self.fails(USAGE, "unknown option --device", args=("info", good, "--device", "cpu"))
        with open("/dev/full", "wb") as full:
            self.fails(IO, "standard output: No space left on device", args=("info", good), stdout=full)


class Compare(Case):
    def alone(self, cell, *more):
        return self.passes_json(*SEVERAL, *more, "--cell", cell)

    def assert_same_results(self, got, want):
        """Compares all results except times."""
        self.assertEqual(set(got), set(want))
        for key in set(want) - {"train_seconds", "test_seconds", "ms_per_step", "sequences_per_second"}:
            self.assertEqual(got[key], want[key], key)

    def test_json_has_the_objects_of_the_runs(self):
        more = ("--layers", "2", "--dropout", "0.1", "--seed", "7", "--valid", "0.1", "--keep", "best")
        for cells in ("lstm", "gru", "rnn", "rnn-relu"), ("rnn", "lstm"), ("gru",):
            r = self.passes_json(*SEVERAL, *more, "--compare", ",".join(cells))
            self.assertEqual(set(r), {"runs", "stopped"})
            self.assertIsNone(r["stopped"])
            self.assertEqual([run["cell"] for run in r["runs"]], list(cells))
            for run in r["runs"]:
                self.assert_same_results(run, self.alone(run["cell"], *more))

    def test_table_and_progress(self):
        outcome = tally(*SEVERAL, "--compare", "rnn,lstm")
        self.assertEqual(outcome.code, 0)
        lines = outcome.out.splitlines()
        self.assertEqual(lines[0].split(), ["cell", "parameters", "test", "error", "mistakes", "seconds"])
        self.assertEqual(len(lines), 3)
        for line, cell in zip(lines[1:], ("rnn", "lstm")):
            r = self.alone(cell)
            count = sum(map(elements, parameters(cell, 1, 6, 1, 9).values()))
            self.assertRegex(line, rf"^{cell} +{count} +{100 * r['error']:.4g} % +{r['mistakes']} +\d+\.\d$")
        said = outcome.err.splitlines()
        for part, cell in (said[:len(said) // 2], "rnn"), (said[len(said) // 2:], "lstm"):
            self.assertEqual(part[0], f"{cell}: training on 252 strings of up to 8 bits for 12 epochs")
            self.assertRegex(part[-1], f"^{cell}: epoch 12 of 12: loss ")
        self.assertEqual(tally(*SEVERAL, "--compare", "rnn,lstm", "--quiet").err, "")

    def test_a_bar_names_the_cell(self):
        terminal = Terminal(*SEVERAL, "--compare", "gru,rnn", columns=132)
        self.assertEqual(terminal.finish()[0], 0)
        for cell in "gru", "rnn":
            self.assertRegex(terminal.text(), rf"\r100 % \[#+\]  epoch 12/12  .* left  {cell}")

    def test_nothing_to_test(self):
        text = self.passes(tally(*SEVERAL, "--train-size", "504", "--compare", "rnn", "--quiet"))
        self.assertRegex(text.splitlines()[1], r"^rnn +\d+ +none +0 +\d")

    def test_curves(self):
        name, log = path("curves.csv"), path("curves.log")
        for more in (), ("--valid", "0.2", "--lr-decay", "cosine"):
            self.passes_json(*SEVERAL, *more, "--compare", "gru,lstm,rnn", "--curves", name)
            with open(name, newline="") as file:
                rows = list(csv.DictReader(file))
            columns = ["cell", "epoch", "steps", "loss", "learning_rate"]
            columns += ["valid_loss", "valid_mistakes"] if more else []
            self.assertEqual(list(rows[0]), columns)
            want = []
            for cell in "gru", "lstm", "rnn":
                self.alone(cell, *more, "--log", log)
                with open(log) as file:
                    want += [[cell] + [json.loads(line)[key] for key in columns[1:]] for line in file]
            self.assertEqual([[row["cell"]] + [json.loads(row[key]) for key in columns[1:]] for row in rows], want)
            self.assertEqual(len(rows), 36)

    def test_curves_that_cannot_be_written(self):
        args = (*SEVERAL, "--compare", "rnn,gru", "--quiet", "--json", "--curves")
        self.fails(IO, "--curves " + path("nowhere/c") + ": No such file", args=(*args, path("nowhere/c")))
        self.fails(IO, "--curves " + folder.name + ": Is a directory", args=(*args, folder.name))
        outcome = tally(*args, "/dev/full")
        self.assertEqual((outcome.code, outcome.err), (IO, "tally: --curves /dev/full: No space left on device\n"))
        self.assertEqual([run["cell"] for run in json.loads(outcome.out)["runs"]], ["rnn", "gru"])

    def test_usage(self):
        for cells, text in {"lstm,foo": "'foo' is not lstm or gru or rnn", "": "'' is not lstm or gru or rnn",
                            "gru,": "'' is not lstm or gru or rnn", "lst": "'lst' is not lstm",
                            "gru,rnn,gru": "gru is listed twice", "lstm, gru": "' gru' is not lstm"}.items():
            self.fails(USAGE, f"tally train: option --compare: {text}", "Try: tally train --help",
                       args=(*SEVERAL, f"--compare={cells}"))
        self.fails(USAGE, "option --compare needs a value", args=(*SEVERAL, "--compare"))
        missing = path("missing.safetensors")
        for option, value, why in (("out", missing, "no model is saved"), ("save-every", "3", "no model is saved"),
                                   ("resume", missing, "it trains from the beginning"),
                                   ("cell", "gru", "it says which cells there are"),
                                   ("log", missing, "--curves FILE has all epochs")):
            for args in ("--compare", "gru,rnn", f"--{option}", value), (f"--{option}={value}", "--compare=gru,rnn"):
                self.fails(USAGE, f"tally train: option --{option}: cannot be combined with --compare: {why}\n",
                           args=(*SEVERAL, *args))
        self.fails(USAGE, "option --weights-only: cannot be combined with --compare: no model is saved\n",
                   args=(*SEVERAL, "--compare", "gru,rnn", "--weights-only"))
        self.fails(USAGE, "option --curves: it needs --compare",
                   args=(*SEVERAL, "--curves", missing))
        self.assertFalse(os.path.exists(missing))

    def interrupted(self, cell, *more):
        """Sends Ctrl-C while that cell is trained, which takes longer than sending it, even on a busy machine."""
        process = start(*SEVERAL, "--epochs", str(EPOCHS), "--compare", "rnn,gru,lstm", *more)
        line = process.stderr.readline()
        while line and not line.startswith(f"{cell}: training on".encode()):
            line = process.stderr.readline()
        self.assertTrue(line)
        process.send_signal(signal.SIGINT)
        outcome = finish(process)
        self.assertEqual(outcome.code, 130, outcome.err)
        return outcome.out

    def test_ctrl_c(self):
        lines = self.interrupted("gru").splitlines()
        self.assertEqual([line.split(" ")[0] for line in lines], ["cell", "rnn", "", "Stopped"])
        self.assertEqual(lines[-1], "Stopped in gru: interrupted")
        r = json.loads(self.interrupted("gru", "--json"))
        self.assertEqual(([run["cell"] for run in r["runs"]], r["stopped"]), (["rnn"], "interrupted"))
        self.assertEqual((r["runs"][0]["epochs"], r["runs"][0]["stopped"]), (EPOCHS, None))
        r = json.loads(self.interrupted("rnn", "--json"))
        self.assertEqual(r, {"runs": [], "stopped": "interrupted"})

    def test_numbers_end_it(self):
        outcome = tally(*SEVERAL, "--lr", "1e38", "--compare", "lstm,gru", "--json", "--quiet")
        self.assertEqual(outcome.code, NUMBERS)
        r = json.loads(outcome.out)
        self.assertEqual(r["runs"], [])
        self.assertEqual(outcome.err, f"tally: {r['stopped']}\n")
        self.assertIn("step 1 (epoch 1, batch 1): ", r["stopped"])

    @unittest.skipIf(SANITIZED, "AddressSanitizer needs the address space")
    def test_no_memory_for_one_of_them(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (320 << 20, 320 << 20))
        outcome = tally(*SEVERAL, "--length", "3", "--hidden", "2048", "--train-size", "2", "--epochs", "1",
                        "--threads", "1", "--compare", "rnn,lstm", "--json", "--quiet", before=limit)
        self.assertEqual(outcome.code, MEMORY)
        self.assertIn("no memory left", outcome.err)
        r = json.loads(outcome.out)
        self.assertEqual(([run["cell"] for run in r["runs"]], r["stopped"]), (["rnn"], "it failed"))


if __name__ == "__main__":
    main()
