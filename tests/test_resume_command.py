"""tally train --resume, and the settings of a run. TALLY is the command's path, FIXTURES a folder with mnist."""

import json
import os
import random
import re
import shutil
import signal
import struct
import time
import unittest

from command_case import DATA, IO, MODEL, SANITIZED, SECONDS, USAGE, Case, finish, folder, main, path, start, tally

MNIST = os.path.join(os.environ["FIXTURES"], "mnist")
SEED = int(os.environ.get("TALLY_TEST_SEED", time.time()))
# Quick to train.
SMALL = ("train", "count", "--device", "cpu", "--length", "8", "--hidden", "8", "--batch", "64", "--train-size", "200",
         "--lr", "0.01", "--quiet")
# A run that uses every part of the saved state; some 400 steps an epoch.
RICH = ("train", "count", "--device", "cpu", "--length", "13", "--hidden", "8", "--batch", "8", "--train-size", "4000",
        "--shuffle", "--valid", "0.2", "--keep", "best", "--clip", "5", "--lr-decay", "cosine", "--epochs", "30",
        "--lr", "0.05", "--quiet")
KILLS = 50


def read_file(name):
    """The header, the notes and the data of a complete safetensors file."""
    with open(name, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = file.read()
    notes = header.pop("__metadata__")
    assert max(end for _, end in (t["data_offsets"] for t in header.values())) == len(data), name
    return header, notes, data


def state(name):
    return json.loads(read_file(name)[1]["tally.training"])


class Stopped(Case):
    def end_of(self, name):
        """Resumes the run in name, with some interrupts, until it ends; returns its last JSON object."""
        for wait in (0.05, 0.3, 0.15, 0.4, None):
            process = start("train", "--resume", name, "--quiet", "--json")
            if wait is not None:
                time.sleep(wait)
                process.send_signal(signal.SIGINT)
            outcome = finish(process)
            if outcome.code == 0:
                return json.loads(outcome.out)
            # An interrupt before the handler is installed ends the command at once and leaves the file unchanged.
            self.assertIn(outcome.code, (130, -signal.SIGINT), outcome.err)
            # If the interrupt came during the test at the end, the file had been saved before.
            if outcome.code == 130 and "goes on from it" not in outcome.err:
                self.assertEqual(json.loads(outcome.out)["stopped"], "interrupted", outcome.err)
            elif outcome.code == 130:
                self.assertIn(f"is in {name}; 'tally train --resume' continues from it", outcome.err)
        raise AssertionError("it was not interrupted the last time")

    def interrupted(self, name, *args, **kwargs):
        """Interrupts the command with Ctrl-C within an epoch after several others; tries again if it came too late or
        between two epochs."""
        log = path("interrupted.log")
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if os.path.exists(log):
                os.remove(log)
            process = start(*args, "--log", log, "--out", name, **kwargs)
            while ((not os.path.exists(log) or os.path.getsize(log) < 500) and process.poll() is None
                   and time.monotonic() < end):
                time.sleep(0.001)
            process.send_signal(signal.SIGINT)
            outcome = finish(process)
            self.assertIn(outcome.code, (0, 130), outcome.err)
            if outcome.code == 130 and int(state(name)["batches_done"]) > 0:
                return
        self.fail("no epoch was stopped in its middle")

    def assert_same_results(self, got, want):
        for key in ("weights_sha256", "epochs", "epochs_wanted", "steps", "kept_epoch", "loss", "valid_loss",
                    "valid_mistakes", "valid_size", "mistakes", "tested", "seed", "batch", "shuffle", "keep", "clip",
                    "lr_decay", "patience", "valid", "learning_rate", "route", "stopped"):
            self.assertEqual(got[key], want[key], key)

    def test_by_ctrl_c_in_the_middle_of_an_epoch(self):
        name = path("rich.safetensors")
        for more in (), ("--cell", "gru", "--layers", "2", "--dropout", "0.3", "--lr-decay", "step"):
            want = self.passes_json(*RICH, *more)
            self.assertTrue(more or want["kept_epoch"] < 30)  # otherwise the current weights need not be saved
            self.interrupted(name, *RICH, *more)
            self.assert_same_results(self.end_of(name), want)

    def test_with_another_optimizer(self):
        name = path("optimizer.safetensors")
        for optimizer in (("sgd", "--momentum", "0.9", "--nesterov", "--lr", "1e-3", "--weight-decay", "0.1"),
                          ("rmsprop",)):
            train = ("train", "count", "--device", "cpu", "--length", "8", "--hidden", "8", "--batch", "64",
                     "--train-size", "200", "--quiet", "--optimizer", *optimizer)
            want = self.passes_json(*train, "--epochs", "4")
            self.passes_json(*train, "--epochs", "2", "--out", name)
            self.assertIn(f"{optimizer[0]}.{'momentum' if optimizer[1:] else 'square'}.head.bias", read_file(name)[0])
            self.assertEqual(state(name)["optimizer"], optimizer[0])
            got = self.passes_json("train", "--resume", name, "--epochs", "4", "--quiet")
            self.assert_same_results(got, want)
            for key in "optimizer", "weight_decay", "momentum", "nesterov", "alpha", "epsilon":
                self.assertEqual(got[key], want[key], key)

    def test_before_the_first_epoch(self):
        # An epoch takes minutes, a few steps are quick.
        long = ("train", "count", "--device", "cpu", "--length", "20", "--train-size", "1000000", "--batch", "16",
                "--hidden", "16", "--json")
        name = path("first.safetensors")
        for more, there in ((), True), (("--weights-only",), False):
            if os.path.exists(name):
                os.remove(name)
            process = start(*long, *more, "--out", name)
            self.assertIn(b"training on", process.stderr.readline())
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            outcome = finish(process)
            self.assertEqual(outcome.code, 130)
            r = json.loads(outcome.out)
            self.assertEqual((r["epochs"], r["kept_epoch"], r["loss"], os.path.exists(name)), (0, None, None, there))
            if there:
                self.assertEqual(r["out"], name)
                self.assertIn(f"no epoch was completed: the initial weights are in {name}; 'tally train", outcome.err)
                self.assertEqual((state(name)["epochs_done"], state(name)["steps_done"]), ("0", str(r["steps"])))
                process = start("train", "--resume", name, "--device", "cpu")
                self.assertIn(b"for 5,000 epochs, 0 of them done\n", process.stderr.readline())
                process.kill()
                finish(process)
            else:
                self.assertIn("no model saved: no epoch was completed", outcome.err)

    def test_at_the_end_of_an_epoch_and_made_longer(self):
        name = path("longer.safetensors")
        want = self.passes_json(*SMALL, "--shuffle", "--epochs", "12")
        self.passes_json(*SMALL, "--shuffle", "--epochs", "5", "--out", name)
        self.assertEqual(state(name)["epochs_wanted"], "5")
        longer = self.passes_json("train", "--resume", name, "--device", "cpu", "--epochs", "12")
        self.assert_same_results(longer, want)
        self.assertEqual((longer["out"], read_file(name)[1]["epochs"]), (name, "12"))
        self.assert_same_results(self.passes_json("train", "--resume", name), want)  # the run has ended

    def test_what_is_said_again_and_what_may_be_others(self):
        name, other = path("again.safetensors"), path("other.safetensors")
        want = self.passes_json(*SMALL, "--epochs", "9")
        self.passes_json(*SMALL, "--epochs", "4", "--out", name)
        with open(name, "rb") as file:
            before = file.read()
        got = self.passes_json(*SMALL, "--epochs", "9", "--resume", name, "--out", other, "--threads", "2",
                               "--save-every", "3", "--patience", "50", "--weights-only", "--route", "auto")
        got["patience"] = 0
        self.assert_same_results(got, want)
        with open(name, "rb") as file:
            self.assertEqual(file.read(), before)
        self.assertNotIn("tally.training", read_file(other)[1])

    def test_a_run_that_patience_ends(self):
        name = path("patience.safetensors")
        r = self.passes_json(*SMALL, "--epochs", "500", "--lr", "1", "--valid", "0.2", "--patience", "3", "--keep",
                             "best", "--out", name)
        self.assertEqual(r["epochs"], r["kept_epoch"] + 3)
        self.assertLess(r["epochs"], 500)
        again = self.passes(tally("train", "--resume", name, "--device", "cpu", "--quiet"))
        self.assertIn(f"Ended        after {r['epochs']} of 500 epochs, by patience\n", again)
        self.assertIn(f"Validation   mistakes in {r['valid_mistakes']} of 40 strings, loss ", again)
        longer = self.passes_json("train", "--resume", name, "--device", "cpu", "--patience", "20")
        self.assertGreater(longer["epochs"], r["epochs"])

    @unittest.skipIf(SANITIZED, "drivers leak")
    def test_begun_on_one_device_and_resumed_on_another(self):
        pocl, env = self.pocl()
        want = self.passes_json(*RICH)
        name = path("device.safetensors")
        for first, second in ("cpu", pocl), (pocl, "cpu"), (pocl, pocl):
            self.interrupted(name, *RICH, "--device", first, "--route", "exact", env=env)
            got = self.passes_json("train", "--resume", name, "--device", second, env=env)
            self.assert_same_results(got, want)

    @unittest.skipIf(SANITIZED, "drivers leak")
    def test_on_a_driver_whose_steps_take_long(self):
        """One epoch on the device, one on the C path, and one on the device again."""
        rusticl, env = self.rusticl()
        args = ("train", "count", "--length", "6", "--hidden", "4", "--batch", "16", "--train-size", "32", "--cell",
                "gru", "--layers", "2", "--dropout", "0.3", "--shuffle", "--clip", "5", "--route", "exact")
        name = path("slow.safetensors")
        want = self.passes_json(*args, "--epochs", "3", "--device", "cpu")
        begun = self.passes_json(*args, "--epochs", "1", "--device", rusticl, "--out", name, env=env)
        self.assertEqual((begun["backend"], begun["fallbacks"]), ("opencl", 0))
        for epochs, device in ("2", "cpu"), ("3", rusticl):
            got = self.passes_json("train", "--resume", name, "--epochs", epochs, "--device", device, env=env)
        self.assertEqual(got["backend"], "opencl")
        self.assert_same_results(got, want)

    @unittest.skipIf(SANITIZED, "drivers leak")
    def test_the_route_is_that_of_the_file(self):
        pocl, env = self.pocl()
        name = path("route.safetensors")
        begun = self.passes_json(*SMALL, "--device", pocl, "--route", "clblast", "--epochs", "3", "--out", name,
                                 env=env)
        self.assertEqual(begun["route"], "clblast")
        self.fails(USAGE, f"option --route: exact, but the run in {name} was started with clblast",
                   args=("train", "--resume", name, "--device", pocl, "--route", "exact"), env=env)
        self.fails(USAGE, "the cpu device has the exact route only",
                   args=("train", "--resume", name, "--device", "cpu"))
        straight = self.passes_json(*SMALL, "--device", pocl, "--route", "clblast", "--epochs", "5", env=env)
        again = self.passes_json("train", "--resume", name, "--device", pocl, "--epochs", "5", env=env)
        self.assertEqual((again["route"], again["weights_sha256"]), ("clblast", straight["weights_sha256"]))


class Killed(Case):
    def test_the_file_is_whole_and_the_run_goes_on(self):
        """The run saves after each epoch and is killed at random moments, which are mostly during a save."""
        print(f"kills: TALLY_TEST_SEED={SEED}")
        draw = random.Random(SEED)
        args = ("train", "count", "--device", "cpu", "--threads", "1", "--length", "6", "--hidden", "4", "--batch", "8",
                "--train-size", "32", "--epochs", "12", "--shuffle", "--keep", "best", "--valid", "0.25", "--lr", "0.1",
                "--quiet")
        name, copy = path("killed.safetensors"), path("copy.safetensors")
        saving = ("--save-every", "1", "--out", name)
        began = time.monotonic()
        want = self.passes_json(*args, *saving)
        whole = time.monotonic() - began
        os.remove(name)
        kills, there, unfinished, left = 0, 0, 0, 1
        for kill in range(8 * KILLS):
            if kills == KILLS:
                break
            again = os.path.exists(name)
            process = start("train", "--resume", name, "--device", "cpu", "--threads", "1", "--quiet", "--save-every",
                            "1") \
                if again else start(*args, *saving)
            time.sleep(draw.uniform(0, whole * left))
            alive = process.poll() is None
            process.kill()
            finish(process)
            # The duration of a run varies.
            whole *= 1.1 if alive else 0.7
            kills += alive
            if not os.path.exists(name):
                self.assertFalse(again, f"kill {kill}: the file is gone")
                continue
            there += 1
            left = 1 - int(state(name)["epochs_done"]) / 12
            unfinished += left > 0
            shutil.copyfile(name, copy)
            got = self.passes_json("train", "--resume", copy, "--device", "cpu", "--threads", "1")
            for key in ("weights_sha256", "steps", "kept_epoch", "loss", "valid_loss", "valid_mistakes"):
                self.assertEqual(got[key], want[key], f"kill {kill}: {key}")
            if left == 0:
                os.remove(name)
                left = 1
        # Otherwise no killed run had saved anything.
        self.assertEqual(kills, KILLS)
        self.assertGreater(there, KILLS // 4)
        self.assertGreater(unfinished, KILLS // 8)


class Refused(Case):
    @classmethod
    def setUpClass(cls):
        cls.file = path("refused.safetensors")
        outcome = tally(*SMALL, "--epochs", "4", "--seed", "3", "--out", cls.file)
        assert outcome.code == 0, outcome.err

    def refused(self, code, *texts, args=()):
        self.fails(code, *texts, args=("train", "--resume", self.file, *args))

    def test_options_that_would_change_the_result(self):
        changes = (("batch", "32", "64"), ("hidden", "9", "8"), ("layers", "2", "1"), ("cell", "gru", "lstm"),
                   ("dropout", "0.1", "0"), ("length", "9", "8"), ("length", "5..8", "8"), ("train-size", "100", "200"),
                   ("lr", "0.1", "0.01"), ("beta1", "0.5", "0.9"), ("beta2", "0.5", "0.999"),
                   ("epsilon", "1e-3", "1e-08"), ("seed", "1", "3"), ("draw", "even", "random"),
                   ("keep", "best", "last"), ("valid", "0.1", "0"), ("lr-decay", "cosine", "none"), ("clip", "1", "0"),
                   ("optimizer", "sgd", "adam"), ("weight-decay", "0.1", "0"), ("momentum", "0.5", "0"),
                   ("alpha", "0.5", "0"))
        may_change = {"epochs", "patience", "device", "threads", "out", "save-every", "resume", "weights-only", "log",
                      "json", "verbose", "quiet", "help"}
        elsewhere = {"shuffle", "nesterov", "preset", "route", "compare", "curves"}
        named = re.findall(r"^  --([a-z0-9-]+)", self.passes(tally("train", "--help")), re.MULTILINE)
        self.assertEqual(set(named) - may_change - elsewhere, {option for option, _, _ in changes})
        for option, value, was in changes:
            value_shown = {"1e-3": "0.001"}.get(value, value)
            self.refused(USAGE, f"tally train: option --{option}: {value_shown}, but the run in {self.file} was "
                                f"started with {was}\n", "Try: tally train --help", args=(f"--{option}", value))
        for flag in "--shuffle", "--nesterov":
            self.refused(USAGE, f"option {flag}: the run in {self.file} was started without it", args=(flag,))
        self.refused(USAGE, f"option --epochs: 3, but the run in {self.file} has done 4", args=("--epochs", "3"))
        self.refused(USAGE, f"the run in {self.file} is of the task count, not mnist", args=("mnist",))
        self.refused(USAGE, "unexpected argument 'count' after the task", args=("count", "count"))
        self.fails(USAGE, "option --resume needs a value", args=("train", "count", "--resume"))
        self.fails(USAGE, "option --resume needs a value", args=("train", "count", "--resume", "--json"))

    def test_options_of_a_run(self):
        for option in ("--save-every", "2"), ("--weights-only",):
            self.fails(USAGE, f"option {option[0]}: it needs --out FILE", args=("train", "count", *option))
        for option, value, text in (("valid", "1", "from 0 to below 1"), ("valid", "-0.1", "from 0 to below 1"),
                                    ("clip", "-1", "is not a number from 0"), ("clip", "nan", "is not a number"),
                                    ("patience", "-1", "is not a whole number from 0"),
                                    ("lr-decay", "linear", "is not none or cosine or step"),
                                    ("save-every", "x", "is not a whole number from 0")):
            self.fails(USAGE, f"option --{option}: '{value}' ", text, args=("train", "count", f"--{option}={value}"))
        self.fails(USAGE, "option --valid: a share of 0.001 of 200 sequences for validation leaves none to validate on",
                   args=(*SMALL, "--valid", "0.001"))
        self.fails(USAGE, "leaves none to train on", args=(*SMALL, "--valid", "0.999"))

    def test_files_without_a_state(self):
        name = path("weights.safetensors")
        self.passes_json(*SMALL, "--epochs", "4", "--weights-only", "--out", name)
        small, large = os.path.getsize(name), os.path.getsize(self.file)
        self.assertLess(small, 0.6 * large)
        self.assertEqual([key for key in read_file(name)[0] if not key.startswith(("head.", "rnn."))], [])
        self.fails(MODEL,
                   f"{name}: it has no training state to resume from: it was saved with --weights-only, or not "
                          "by tally train", args=("train", "--resume", name))
        torch = os.path.join(os.environ["FIXTURES"], "torch_model.safetensors")
        self.fails(MODEL, f"{torch}: it has no training state", args=("train", "--resume", torch))
        self.assertEqual(self.passes_json("eval", name, "--device", "cpu")["epochs"], 4)

    def test_a_file_of_version_1_is_a_model_only(self):
        name = os.path.join(os.environ["FIXTURES"], "version_1.safetensors")
        why = "its training run was saved by an earlier tally, which added gradients in another order"
        self.fails(MODEL, f"{name}: {why}", "Train from the beginning", args=("train", "--resume", name))
        self.assertIs(self.passes_json("info", name)["resumable"], False)
        self.assertIn(f"Resumable no: {why}", " ".join(self.passes(tally("info", name)).split()))
        tested = self.passes_json("eval", name, "--device", "cpu")
        self.assertEqual((tested["mistakes"], tested["tested"], tested["keep"]), (5, 8, "best"))
        answers = self.passes(tally("predict", name, "0111", "--device", "cpu"))
        self.assertEqual(answers, "0111 2 0.257290\n")

    def test_files_that_are_damaged_or_not_there(self):
        with open(self.file, "rb") as file:
            whole = file.read()
        name = path("damaged.safetensors")

        def damaged(data, code, text):
            with open(name, "wb") as file:
                file.write(data)
            self.fails(code, name, text, args=("train", "--resume", name))
        damaged(whole[:-1], MODEL, "ends at byte")
        damaged(whole[:100], MODEL, "does not fit in the file")
        damaged(b"", MODEL, "too few")
        damaged(b"\xff" * 100, MODEL, "is this a safetensors file?")
        damaged(whole[:-1] + bytes([whole[-1] ^ 1]), MODEL, "its training state is damaged")
        for old, new, text in ((b'\\"steps_done\\":\\"16', b'\\"steps_done\\":\\"17',
                                "its training state is damaged"),
                               (b'"batch":"64"', b'"batch":"65"', "has batch 64 and cannot be resumed with 65"),
                               (b'"task":"count"', b'"tusk":"count"', "it has no note task"),
                               (b'"length":"8"', b'"length":"7"', "its note length"),
                               (b'"tally.training":', b'"tally.treining":', "it has no training state")):
            self.assertEqual(whole.count(old), 1, old)
            damaged(whole.replace(old, new), USAGE if b"batch" in old else MODEL, text)
        self.fails(IO, "missing: No such file", args=("train", "--resume", path("missing")))
        self.fails(IO, "Is a directory", args=("train", "--resume", folder.name))

    def test_other_data(self):
        name, other = path("mnist.safetensors"), path("other-mnist")
        self.passes_json("train", "mnist", "--data", MNIST, "--hidden", "4", "--epochs", "2", "--device", "cpu",
                         "--out", name)
        want = self.passes_json("train", "mnist", "--data", MNIST, "--hidden", "4", "--epochs", "3", "--device", "cpu")
        self.fails(USAGE, "no images given", args=("train", "--resume", name))
        self.fails(USAGE, f"option --no-shuffle: the run in {name} was started without it",
                   args=("train", "--resume", name, "--data", MNIST, "--no-shuffle"))
        self.fails(USAGE, f"option --normalize: none, but the run in {name} was started with standard",
                   args=("train", "--resume", name, "--data", MNIST, "--normalize", "none"))
        in_order = path("in-order.safetensors")
        self.passes_json("train", "mnist", "--data", MNIST, "--hidden", "4", "--epochs", "1", "--device", "cpu",
                         "--no-shuffle", "--out", in_order)
        self.fails(USAGE, f"option --shuffle: the run in {in_order} was started without it",
                   args=("train", "--resume", in_order, "--data", MNIST, "--shuffle"))
        r = self.passes_json("train", "--resume", in_order, "--data", MNIST, "--no-shuffle", "--device", "cpu")
        self.assertEqual((r["epochs"], r["shuffle"]), (1, False))
        os.mkdir(other)
        for file in os.listdir(MNIST):
            shutil.copyfile(os.path.join(MNIST, file), os.path.join(other, file.replace("train", "x").replace(
                "t10k", "train").replace("x-", "t10k-")))
        self.fails(DATA, f"{name}: its run was started on other data: their train_size was ",
                   args=("train", "--resume", name, "--data", other))
        got = self.passes_json("train", "--resume", name, "--data", MNIST, "--epochs", "3", "--device", "cpu")
        for key in ("weights_sha256", "mistakes", "mean", "deviation", "train_size"):
            self.assertEqual(got[key], want[key])


class Kept(Case):
    def test_files_meanwhile(self):
        name = path("meanwhile.safetensors")
        process = start(*SMALL[:-1], "--epochs", "1000000", "--save-every", "7", "--out", name)
        end = time.monotonic() + SECONDS
        epochs = set()
        while len(epochs) < 3 and time.monotonic() < end:
            if os.path.exists(name):
                epochs.add(int(read_file(name)[1]["epochs"]))
        process.kill()
        finish(process)
        self.assertEqual({epoch % 7 for epoch in epochs}, {0})
        tested = self.passes_json("eval", name, "--device", "cpu")
        want = self.passes_json(*SMALL, "--epochs", str(tested["epochs"]))
        for key in ("weights_sha256", "loss", "steps", "mistakes"):
            self.assertEqual(tested[key], want[key])

    def test_a_file_that_cannot_be_written_meanwhile_does_not_end_training(self):
        taken = path("gone")
        os.mkdir(taken)
        process = start(*SMALL[:-1], "--epochs", "1000000", "--save-every", "1000", "--json", "--out",
                        os.path.join(taken, "m"))
        process.stderr.readline()
        end = time.monotonic() + SECONDS
        while not os.path.exists(os.path.join(taken, "m")) and time.monotonic() < end:
            time.sleep(0.01)
        os.rename(taken, path("elsewhere"))  # possible during a save, unlike removing the folder
        line = process.stderr.readline()
        while b"No such file" not in line and line:
            line = process.stderr.readline()
        self.assertIn(b"No such file", line)
        os.mkdir(taken)
        process.send_signal(signal.SIGINT)
        outcome = finish(process)
        self.assertEqual(outcome.code, 130)
        r = json.loads(outcome.out)
        self.assertEqual(r["out"], os.path.join(taken, "m"))
        self.assertEqual(state(r["out"])["epochs_done"], str(r["epochs"]))

    def test_what_is_validated_on(self):
        name = path("valid.safetensors")
        r = self.passes_json(*SMALL, "--epochs", "20", "--valid", "0.2", "--out", name)
        self.assertEqual((r["valid"], r["valid_size"], r["train_size"], r["tested"]), (0.2, 40, 200, 56))
        self.assertTrue(0 <= r["valid_mistakes"] <= 40 and r["valid_loss"] > 0)
        self.assertAlmostEqual(r["sequences_per_second"] * r["train_seconds"], 20 * 160, places=3)
        tested = self.passes_json("eval", name, "--device", "cpu")
        for key in ("valid", "valid_size", "valid_loss", "valid_mistakes", "mistakes", "loss", "sequences_per_second"):
            self.assertEqual(tested[key], r[key])
        without = self.passes_json(*SMALL, "--epochs", "20")
        self.assertEqual((without["valid"], without["valid_size"], without["valid_loss"], without["valid_mistakes"]),
                         (0, 0, None, None))
        self.assertNotEqual(without["weights_sha256"], r["weights_sha256"])
        other = self.passes_json(*SMALL, "--epochs", "20", "--valid", "0.2", "--keep", "best")
        self.assertLessEqual(other["valid_mistakes"], r["valid_mistakes"])

    def test_a_moment_that_overflows_is_left_out_and_the_weights_are_saved(self):
        """Weights as large as the rate give gradients as large, whose squares are not finite."""
        name = path("overflow.safetensors")
        outcome = tally(*SMALL, "--epochs", "2", "--lr", "1e32", "--out", name, "--json")
        self.assertEqual(outcome.code, 0, outcome.err)
        self.assertRegex(outcome.err,
                         r"^cannot write .*: element \d+ of adam.v.\S+ is inf: saved without the training state\n$")
        self.assertNotIn("tally.training", read_file(name)[1])
        self.assertEqual(json.loads(outcome.out)["out"], name)


class Log(Case):
    def lines(self, name):
        with open(name) as file:
            text = file.read()
        self.assertTrue(text.endswith("\n"))
        return [json.loads(line) for line in text.splitlines()]

    def test_an_object_an_epoch(self):
        name, file = path("log"), path("log.safetensors")
        plain = self.passes_json(*SMALL, "--epochs", "4", "--log", name, "--out", file)
        lines = self.lines(name)
        self.assertEqual([set(line) for line in lines], [{"epoch", "steps", "loss", "learning_rate", "seconds"}] * 4)
        self.assertEqual([(line["epoch"], line["steps"], line["learning_rate"]) for line in lines],
                         [(epoch, 4 * epoch, 0.01) for epoch in range(1, 5)])
        self.assertEqual(lines[-1]["loss"], plain["loss"])
        self.assertEqual(lines[-1]["seconds"], plain["train_seconds"])
        self.assertEqual(sorted(line["seconds"] for line in lines), [line["seconds"] for line in lines])
        self.passes_json("train", "--resume", file, "--device", "cpu", "--epochs", "6", "--log", name)
        more = self.lines(name)
        self.assertEqual(more[:4], lines)
        self.assertEqual([line["epoch"] for line in more[4:]], [5, 6])
        straight = self.passes_json(*SMALL, "--epochs", "6", "--log", name)
        again = self.lines(name)
        for line in more + again:
            line.pop("seconds")
        self.assertEqual(again, more)
        self.assertEqual(again[-1]["loss"], straight["loss"])

    def test_all_there_is_to_say(self):
        name = path("log-all")
        r = self.passes_json(*SMALL, "--epochs", "8", "--valid", "0.2", "--clip", "2", "--lr-decay", "step", "--log",
                             name)
        lines = self.lines(name)
        self.assertEqual(list(lines[0]), ["epoch", "steps", "loss", "learning_rate", "valid_loss", "valid_mistakes",
                                          "valid_tested", "gradient_norm", "seconds"])
        self.assertEqual([line["learning_rate"] for line in lines], [0.01] * 4 + [0.001] * 2 + [0.0001] * 2)
        self.assertEqual((lines[-1]["valid_loss"], lines[-1]["valid_mistakes"], lines[-1]["valid_tested"]),
                         (r["valid_loss"], r["valid_mistakes"], 40))
        self.assertTrue(all(line["gradient_norm"] > 2 for line in lines))

    def test_it_can_be_followed(self):
        name = path("log-follow")
        process = start(*SMALL, "--epochs", "1000000000", "--log", name)
        end = time.monotonic() + SECONDS
        while (not os.path.exists(name) or os.path.getsize(name) < 100) and time.monotonic() < end:
            time.sleep(0.01)
        self.assertIsNone(process.poll())
        with open(name) as file:
            self.assertEqual(json.loads(file.readline())["epoch"], 1)
        process.kill()
        finish(process)
        with open(name) as file:
            for line in file.read().splitlines()[:-1]:
                json.loads(line)

    def test_it_is_no_model(self):
        name = path("log-and-model")
        for log in (name, os.path.join(folder.name, ".", "log-and-model")):
            self.fails(USAGE, f"options --out and --log name the same file, {log}",
                       args=(*SMALL, "--out", name, "--log", log))
        self.assertFalse(os.path.exists(name))
        self.passes_json(*SMALL, "--epochs", "1", "--out", name)
        self.fails(USAGE, f"options --resume and --log name the same file, {name}",
                   args=("train", "--resume", name, "--epochs", "2", "--log", name, "--out", path("another")))
        self.passes_json("train", "--resume", name, "--epochs", "2", "--out",
                         os.path.join(folder.name, ".", "log-and-model"))

    def test_that_cannot_be_written(self):
        self.fails(IO, "--log " + path("nowhere/log") + ": No such file", args=(*SMALL, "--log", path("nowhere/log")))
        self.fails(IO, "--log " + folder.name + ": Is a directory", args=(*SMALL, "--log", folder.name))
        outcome = tally(*SMALL, "--epochs", "3", "--json", "--log", "/dev/full")
        self.assertEqual(outcome.code, IO)
        self.assertEqual(outcome.err, "tally: --log /dev/full: No space left on device\n")
        self.assertEqual(json.loads(outcome.out)["epochs"], 3)


if __name__ == "__main__":
    main()
