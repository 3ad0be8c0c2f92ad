"""The tally command with data from files: IDX images, npy sequences, and invalid files. TALLY is the command's path."""

import gzip
import json
import math
import os
import random
import struct
import unittest

from command_case import DATA, IO, MODEL, NUMBERS, USAGE, Case, folder, main, npy, path, tally, write

FIXTURE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures", "mnist")
QUICK = ("--device", "cpu", "--hidden", "8", "--epochs", "2", "--batch", "16")
IMAGES, LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"


def fixture(part, kind):
    """The content of a file of the sample, uncompressed."""
    with gzip.open(os.path.join(FIXTURE, f"{part}-{kind}.gz")) as file:
        return file.read()


def idx(values, *shape):
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + bytes(values)


def make_folder(name, **files):
    """A folder with train_images, train_labels, t10k_images and t10k_labels; by default those of the sample."""
    made = path(name)
    os.makedirs(made, exist_ok=True)
    for part in "train", "t10k":
        for kind, short in (IMAGES, "images"), (LABELS, "labels"):
            data = files.get(f"{part}_{short}", None)
            with open(os.path.join(made, f"{part}-{kind}"), "wb") as file:
                file.write(fixture(part, kind) if data is None else data)
    return made


def npy_of(values, shape, code, descr):
    order = ">" if descr[0] == ">" else "<"
    return npy(descr, shape, struct.pack(f"{order}{len(values)}{code}", *values))


def read_notes(name):
    with open(name, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(size))["__metadata__"]


def change_model(name, changed, change):
    """A copy of a model file after change(header, data)."""
    with open(name, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        header, data = json.loads(file.read(size)), bytearray(file.read())
    change(header, data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return write(changed, struct.pack("<Q", len(text)) + text + data)


def change_notes(name, changed, change):
    return change_model(name, changed, lambda header, data: change(header["__metadata__"]))


class Files(Case):
    """The sample as IDX and npy files, and models trained on it."""

    @classmethod
    def setUpClass(cls):
        cls.model = path(cls.__name__ + "-mnist.safetensors")
        outcome = tally("train", "mnist", "--data", FIXTURE, *QUICK, "--json", "--out", cls.model)
        assert outcome.code == 0, outcome.err
        cls.trained = json.loads(outcome.out)
        cls.x = write("x.npy", npy("|u1", (64, 28, 28), fixture("train", IMAGES)[16:]))
        cls.y = write("y.npy", npy("|u1", (64,), fixture("train", LABELS)[8:]))
        cls.test_x = write("tx.npy", npy("|u1", (32, 28, 28), fixture("t10k", IMAGES)[16:]))
        cls.test_y = write("ty.npy", npy("|u1", (32,), fixture("t10k", LABELS)[8:]))
        cls.own = ("train", "npy", "--x", cls.x, "--y", cls.y, *QUICK)


class Help(Case):
    def test_each_task_has_its_own(self):
        for task, options in ("mnist", {"epochs": "12", "batch": "128", "hidden": "128", "beta1": "0.9",
                                        "normalize": "standard", "seed": "1"}), \
                             ("npy", {"epochs": "12", "batch": "128", "hidden": "128", "hold-out": "0.1"}):
            asked = self.passes(tally("train", task, "--help"))
            self.assertEqual(asked, self.passes(tally("train", "--quiet", "--lr", "1", task, "--bad", "--help")))
            self.assertEqual(asked, self.passes(tally("train", "--help", task)))
            self.assertLessEqual(max(map(len, asked.splitlines())), 80)
            self.assertIn(f"usage: tally train {task}", asked)
            text = " ".join(asked.split())
            for option, default in options.items():
                self.assertRegex(text, rf"--{option} [A-Z]+ [^()]*(\([^)]*\)[^()]*)*\(default: {default}\)")
            self.assertNotIn("--draw", text)
        self.assertNotIn("--data", self.passes(tally("train", "count", "--help")))
        self.assertIn("tally train mnist --help", self.passes(tally("train", "--help")))

    def test_options_are_those_of_the_task(self):
        self.fails(USAGE, "unknown option --data", "Try: tally train --help", args=("train", "count", "--data", "d"))
        self.fails(USAGE, "unknown option --length", "Try: tally train mnist --help",
                   args=("train", "mnist", "--length", "8"))
        self.fails(USAGE, "unknown task 'minst'; the tasks are count, mnist and npy",
                   args=("train", "--data", "mnist", "minst"))
        self.fails(USAGE, "unexpected argument 'count' after the task", args=("train", "mnist", "count"))


class Mnist(Files):
    def test_json_and_notes(self):
        r = self.trained
        for key, value in {"task": "mnist", "epochs": 2, "steps": 8, "batch": 16, "hidden": 8, "train_size": 64,
                           "time_steps": 28, "inputs": 28, "classes": 10, "shuffle": True, "normalize": "standard",
                           "tested": 32, "fallbacks": 0, "stopped": None, "out": self.model, "seed": "1",
                           "learning_rate": 0.001}.items():
            self.assertEqual(r[key], value, key)
        for key in "length", "draw", "hold_out", "example", "mistakes_by_count":
            self.assertNotIn(key, r)
        self.assertEqual(r["error"], r["mistakes"] / 32)
        self.assertEqual((sum(r["mistakes_by_class"]), sum(r["tested_by_class"])), (r["mistakes"], 32))
        labels = fixture("t10k", LABELS)[8:]
        self.assertEqual(r["tested_by_class"], [labels.count(k) for k in range(10)])
        notes = read_notes(self.model)
        for key in ("task", "time_steps", "inputs", "classes", "normalize", "mean", "deviation", "train_size",
                    "shuffle", "weights_sha256"):
            text = notes[key]
            self.assertEqual(text if isinstance(r[key], str) else json.loads(text), r[key], key)
        self.assertNotIn("length", notes)

    def test_mean_and_deviation_are_those_of_all_training_values(self):
        values = fixture("train", IMAGES)[16:]
        mean = sum(values) / len(values)
        squares = 0.0
        for value in values:
            squares += (value - mean) * (value - mean)
        self.assertEqual((self.trained["mean"], self.trained["deviation"]), (mean, math.sqrt(squares / len(values))))
        r = self.passes_json("train", "mnist", "--data", FIXTURE, *QUICK, "--normalize", "none")
        self.assertEqual((r["normalize"], r["mean"], r["deviation"]), ("none", 0, 1))
        self.assertNotEqual(r["weights_sha256"], self.trained["weights_sha256"])

    def test_plain_and_packed_files_give_the_same_weights(self):
        train = ("train", "mnist", "--data", make_folder("plain"), *QUICK)
        r = self.passes_json(*train)
        self.assertEqual(r["weights_sha256"], self.trained["weights_sha256"])
        for threads in "1", "3":
            self.assertEqual(self.passes_json(*train, "--threads", threads)["weights_sha256"], r["weights_sha256"])
        others = [self.passes_json(*train, *more)["weights_sha256"] for more in (
            ("--no-shuffle",), ("--seed", "2"), ("--no-shuffle", "--epochs", "3"))]
        self.assertEqual(len({r["weights_sha256"], *others}), 4)
        self.assertEqual(self.passes_json(*train, "--shuffle")["weights_sha256"], r["weights_sha256"])
        self.assertIs(self.passes_json(*train, "--no-shuffle", "--shuffle")["shuffle"], True)
        self.assertIs(self.passes_json(*train, "--shuffle", "--no-shuffle")["shuffle"], False)
        self.assertRegex(" ".join(self.passes(tally("train", "mnist", "--help")).split()),
                         r"--shuffle a new order of what is trained on in each epoch \(default: yes\)")

    def test_text(self):
        train = ("train", "mnist", "--data", FIXTURE, *QUICK)
        outcome = tally(*train)
        self.assertEqual(outcome.code, 0)
        self.assertIn("training on 64 images of 28 rows for 2 epochs\n", outcome.err)
        self.assertRegex(outcome.err, r"epoch 2 of 2: loss \S+ an image, error \S+ % of a sample, [\d,]+ images/s")
        self.assertIn("Trained      2 epochs of 64 images of 28 rows of 28 inputs, in ", outcome.out)
        self.assertRegex(outcome.out, r"Loss         \S+ an image in training")
        self.assertIn(f"mistakes in {self.trained['mistakes']} of 32 images", outcome.out)
        self.assertIn(self.trained["weights_sha256"], outcome.out)
        self.assertNotIn("string", outcome.out + outcome.err)

    def test_eval_agrees_with_training(self):
        r = self.passes_json("eval", self.model, "--data", FIXTURE, "--device", "cpu")
        for key in ("task", "mistakes", "tested", "error", "weights_sha256", "mistakes_by_class", "tested_by_class",
                    "mean", "deviation", "time_steps", "inputs", "classes", "train_size", "loss"):
            self.assertEqual(r[key], self.trained[key], key)
        self.assertEqual(r["file"], self.model)
        # The same data as npy files.
        own = self.passes_json("eval", self.model, "--x", self.test_x, "--y", self.test_y, "--device", "cpu")
        self.assertEqual(own["mistakes_by_class"], r["mistakes_by_class"])
        lines = self.passes(tally("eval", self.model, "--data", FIXTURE, "--device", "cpu", "--quiet")).splitlines()
        at = lines.index("class      images  mistakes")
        rows = [[int(cell) for cell in line.split()] for line in lines[at + 1:]]
        self.assertEqual(rows, [[k, r["tested_by_class"][k], r["mistakes_by_class"][k]] for k in range(10)])

    def test_predictions_agree_with_eval(self):
        images = os.path.join(FIXTURE, f"t10k-{IMAGES}.gz")
        lines = self.passes(tally("predict", self.model, "--idx", images, "--device", "cpu")).splitlines()
        self.assertEqual(lines, self.passes(tally("predict", self.model, "--npy", self.test_x,
                                                  "--device", "cpu")).splitlines())
        labels = fixture("t10k", LABELS)[8:]
        mistakes = [0] * 10
        for i, line in enumerate(lines):
            number, answer, _ = line.split()
            self.assertEqual(int(number), i)
            mistakes[labels[i]] += int(answer) != labels[i]
        self.assertEqual((len(lines), mistakes), (32, self.trained["mistakes_by_class"]))
        r = json.loads(self.passes(tally("predict", self.model, "--idx", images, "--device", "cpu", "--json",
                                         "--probabilities")))
        self.assertEqual(r["task"], "mnist")
        for line, p in zip(lines, r["predictions"], strict=True):
            self.assertEqual(line, f"{p['number']} {p['class']} {p['probability']:.6f}")
            self.assertEqual((len(p["probabilities"]), max(p["probabilities"])), (10, p["probability"]))
            self.assertEqual(p["probabilities"][p["class"]], p["probability"])
        text = self.passes(tally("predict", self.model, "--idx", images, "--device", "cpu", "--probabilities"))
        shown = text[text.index("[[") + 2:text.index("]]")].split()
        self.assertEqual([float(p) for p in shown], [float(f"{p:.8e}") for p in r["predictions"][0]["probabilities"]])
        few = self.passes_json("predict", self.model, "--idx", images, "--device", "cpu")["predictions"][0]
        self.assertEqual(set(few), {"number", "class", "probability"})

    def test_any_size_of_image_and_number_of_classes(self):
        """The class is the index of the bright row, which is learnt without a mistake."""
        rng = random.Random(1)

        def part(count):
            labels = [rng.randrange(3) for _ in range(count)]
            return idx([255 if row == label else rng.randrange(100) for label in labels for row in range(3)
                        for _ in range(5)], count, 3, 5), idx(labels, count)
        (train_images, train_labels), (t10k_images, t10k_labels) = part(200), part(100)
        data = make_folder("rows", train_images=train_images, train_labels=train_labels, t10k_images=t10k_images,
                           t10k_labels=t10k_labels)
        name = path("rows.safetensors")
        r = self.passes_json("train", "mnist", "--data", data, "--device", "cpu", "--hidden", "16", "--epochs", "30",
                             "--lr", "0.01", "--out", name)
        self.assertEqual((r["time_steps"], r["inputs"], r["classes"], r["tested"]), (3, 5, 3, 100))
        self.assertEqual(r["mistakes"], 0)
        predicted = tally("predict", name, "--idx", os.path.join(data, f"t10k-{IMAGES}"), "--device", "cpu")
        self.assertEqual([int(line.split()[1]) for line in self.passes(predicted).splitlines()],
                         list(t10k_labels[8:]))
        # A model has two classes even if the data has one.
        data = make_folder("one", train_images=train_images, train_labels=idx([0] * 200, 200), t10k_images=t10k_images,
                           t10k_labels=idx([1] * 100, 100))
        self.assertEqual(self.passes_json("train", "mnist", "--data", data, *QUICK)["classes"], 2)

    def test_wrong_files(self):
        images, labels = fixture("train", IMAGES), fixture("train", LABELS)
        packed = gzip.compress(images)
        broken = bytearray(packed)
        broken[len(packed) // 2] ^= 0x55
        for file, data, text in (
                ("train_images", b"", "it is empty"),
                ("train_images", b"\x89PNG\r\n\x1a\n", "it is not an IDX file"),
                ("train_images", labels, "it has 1 dimensions, images have 3"),
                ("train_labels", images, "it has 3 dimensions, labels have 1"),
                ("train_images", images[:2] + b"\x0d" + images[3:], "have the IDX type 0x0d"),
                ("train_images", images[:10], "it ends within its header"),
                ("train_images", images[:-1], "its values need 50176 bytes, but it has only 50175"),
                ("train_images", images + b"\0", "there are bytes after its last value"),
                ("train_images", idx([], 2**32 - 1, 2**32 - 1, 2**32 - 1), "more values than any file"),
                ("train_images", idx([], 0, 28, 28), "it is empty"),
                ("train_images", packed[:-9], "it is truncated within its gzip data"),
                ("train_images", bytes(broken), "its gzip data is damaged"),
                ("train_images", packed + b"more", "there are bytes after the end of its gzip data"),
                ("train_labels", idx([0] * 63, 63), "63 labels, but"),
                ("t10k_images", idx([0] * 32 * 14 * 28, 32, 14, 28),
                 "its sequences have 14 steps of 28 inputs, but those to train on have 28 steps of 28"),
                ("t10k_labels", idx([10] * 32, 32),
                 "the label of sequence 0 is 10, but there are only the classes 0 to 9"),
                ("train_images", idx([7] * 64 * 28 * 28, 64, 28, 28),
                 "cannot be normalized by a mean of 7 and a deviation of 0")):
            with self.subTest(file=file, text=text):
                data = make_folder("wrong", **{file: data})
                name = os.path.join(data, file.replace("_images", "-" + IMAGES).replace("_labels", "-" + LABELS))
                self.fails(DATA, name + ":", text, args=("train", "mnist", "--data", data, *QUICK))
        wrong = make_folder("wrong-name")
        os.rename(os.path.join(wrong, f"train-{IMAGES}"), os.path.join(wrong, f"train-{IMAGES}.gz"))
        self.fails(DATA, f"train-{IMAGES}.gz: its name ends with .gz, but it is not a gzip file",
                   args=("train", "mnist", "--data", wrong))

    def test_missing_files(self):
        self.fails(USAGE, "use --data DIR", "Try: tally train mnist --help", args=("train", "mnist"))
        self.fails(IO, "cannot read " + path("missing"), "No such file",
                   args=("train", "mnist", "--data", path("missing")))
        for part in "train", "t10k":
            for kind in IMAGES, LABELS:
                data = make_folder("incomplete")
                os.remove(os.path.join(data, f"{part}-{kind}"))
                self.fails(IO, f"cannot read {data}: there is neither {part}-{kind} nor {part}-{kind}.gz",
                           args=("train", "mnist", "--data", data))


class Npy(Files):
    def test_the_same_data_gives_the_same_weights_in_any_form(self):
        test = ("--test-x", self.test_x, "--test-y", self.test_y)
        values, labels = fixture("train", IMAGES)[16:], fixture("train", LABELS)[8:]
        r = self.passes_json(*self.own, *test)
        self.assertEqual(r["weights_sha256"], self.trained["weights_sha256"])
        self.assertEqual((r["task"], r["tested"], r["mistakes_by_class"], r["hold_out"], r["mean"]),
                         ("npy", 32, self.trained["mistakes_by_class"], None, self.trained["mean"]))
        for code, descr in ("f", "<f4"), ("d", "<f8"), ("f", ">f4"), ("d", ">f8"):
            x = write("form.npy", npy_of(values, (64, 28, 28), code, descr))
            for code, descr in ("b", "|i1"), ("q", ">i8"):
                y = write("form_y.npy", npy_of(labels, (64,), code, descr))
                other = self.passes_json("train", "npy", "--x", x, "--y", y, *QUICK, *test)
                self.assertEqual(other["weights_sha256"], r["weights_sha256"])
        for version in 2, 3:
            x = write("form.npy", npy("|u1", (64, 28, 28), values, version=version))
            other = self.passes_json("train", "npy", "--x", x, "--y", self.y, *QUICK, *test)
            self.assertEqual(other["weights_sha256"], r["weights_sha256"])

    def test_a_share_is_held_out_by_the_seed(self):
        """Each sequence has a different class, which identifies the sequences that are tested."""
        x = write("held.npy", npy_of([v for i in range(50) for v in (0.01 * i, 1)], (50, 2, 1), "f", "<f4"))
        y = write("held_y.npy", npy_of(range(50), (50,), "H", "<u2"))
        train = ("train", "npy", "--x", x, "--y", y, *QUICK)

        def tested(*more):
            r = self.passes_json(*train, *more)
            self.assertEqual((r["train_size"] + r["tested"], r["classes"]), (50, 50))
            self.assertLessEqual(max(r["tested_by_class"], default=0), 1)
            return [i for i, n in enumerate(r["tested_by_class"]) if n], r
        first, r = tested()
        self.assertEqual((len(first), r["hold_out"]), (5, 0.1))
        # The mean is that of the training sequences, as float32.
        kept = [struct.unpack("<f", struct.pack("<f", 0.01 * i))[0] for i in range(50) if i not in first]
        total = 0.0
        for value in kept:
            total += value
            total += 1
        self.assertEqual(r["mean"], total / 90)
        self.assertEqual(tested("--threads", "1")[0], first)
        self.assertNotEqual(tested("--seed", "2")[0], first)
        for share, count in ("0.5", 25), ("0.25", 13), ("0.98", 49), ("0.009", 0), ("0", 0):
            held, r = tested("--hold-out", share)
            self.assertEqual((len(held), r["hold_out"]), (count, float(share)))
        self.assertIn("none: every sequence was trained on", self.passes(tally(*train, "--hold-out", "0", "--quiet")))
        self.fails(USAGE, "option --hold-out: holding out a share of 0.999 of 50 sequences leaves none",
                   args=(*train, "--hold-out", "0.999"))
        for share in "1", "-0.1", "nan":
            self.fails(USAGE, f"option --hold-out: '{share}' is not a number from 0 to below 1",
                       args=(*train, "--hold-out", share))

    def test_a_run_with_a_test_set_holds_nothing_out_later(self):
        name, files = path("tested.safetensors"), ("--x", self.x, "--y", self.y, "--test-x", self.x, "--test-y", self.y)
        self.passes_json("train", "npy", *files, *QUICK, "--out", name)
        self.fails(USAGE, f"option --hold-out: 0.2, but the run in {name} was started with none",
                   args=("train", "--resume", name, *files, "--hold-out", "0.2"))

    def test_data_are_never_written_over(self):
        for option, name, more in (("x", self.x, ()), ("y", self.y, ()),
                                   ("test-x", self.test_x, ("--test-x", self.test_x, "--test-y", self.test_y))):
            before = os.stat(name)
            for written in (("--out",), ("--log",), ("--compare", "lstm", "--curves")):
                self.fails(USAGE, f"options {written[-1]} and --{option} name the same file, {name}",
                           args=(*self.own, *more, *written, os.path.join(folder.name, ".", os.path.basename(name))))
            after = os.stat(name)
            self.assertEqual((after.st_ino, after.st_size, after.st_mtime_ns),
                             (before.st_ino, before.st_size, before.st_mtime_ns))

    def test_eval_and_predict_need_the_model_and_the_data(self):
        name = path("own.safetensors")
        self.passes_json(*self.own, "--hold-out", "0", "--out", name)
        self.assertEqual(read_notes(name)["hold_out"], "0")
        r = self.passes_json("eval", name, "--x", self.x, "--y", self.y, "--device", "cpu")
        self.assertEqual((r["task"], r["tested"]), ("npy", 64))
        lines = self.passes(tally("predict", name, "--npy", self.x, "--device", "cpu")).splitlines()
        wrong = sum(int(line.split()[1]) != label
                    for line, label in zip(lines, fixture("train", LABELS)[8:], strict=True))
        self.assertEqual(wrong, r["mistakes"])
        self.assertEqual(self.passes_json("predict", name, "--npy", self.x, "--device", "cpu")["task"], "npy")
        self.assertEqual(self.passes_json("eval", name, "--data", FIXTURE, "--device", "cpu")["tested"], 32)

    def test_more_sequences_than_are_predicted_at_a_time(self):
        x = write("many.npy", npy("|u1", (2500, 28, 28), fixture("train", IMAGES)[16:] * 39 +
                                  fixture("train", IMAGES)[16:16 + 4 * 28 * 28]))
        lines = self.passes(tally("predict", self.model, "--npy", x, "--device", "cpu")).splitlines()
        first = self.passes(tally("predict", self.model, "--npy", self.x, "--device", "cpu")).splitlines()
        self.assertEqual([line.split()[1:] for line in lines], [first[i % 64].split()[1:] for i in range(2500)])
        self.assertEqual([int(line.split()[0]) for line in lines], list(range(2500)))

    def test_wrong_files(self):
        good = npy_of([0.5] * 64 * 2, (64, 2, 1), "f", "<f4")
        labels = npy_of([0, 1] * 32, (64,), "b", "|i1")
        lengths = [1, 2] * 32

        def x_with(value, code="f", descr="<f4"):
            return npy_of([0.5] * 127 + [value], (64, 2, 1), code, descr)
        for option, data, text in (
                ("x", b"", "it is empty"),
                ("x", b"PK\x03\x04 an npz file", "it is not an npy file"),
                ("x", good[:9], "it ends within its header"),
                ("x", b"\x93NUMPY\x04\0" + good[8:], "has npy version 4.0; supported are 1.0, 2.0 and 3.0"),
                ("x", good.replace(b"'descr'", b"'dtype'"), "unknown key 'dtype'"),
                ("x", good.replace(b"{", b"["), "its npy header is malformed"),
                ("x", npy("|O", (64, 2, 1), b"\x80\x03."), "its elements are Python objects, '|O'"),
                ("x", npy("<i4", (64, 2, 1), bytes(512)),
                 "its elements are '<i4', but must be float32, float64 or uint8"),
                ("x", npy("<f2", (64, 2, 1), bytes(256)), "its elements are '<f2'"),
                ("x", npy("<f4", (64, 2, 1), bytes(512), fortran="True"), "it is in Fortran order"),
                ("x", npy("<f4", (64, 2), bytes(512)),
                 "its shape is (64, 2), but must be (sequences, time steps, inputs)"),
                ("x", npy("<f4", (64, 2, 1, 1), bytes(512)), "its shape is (64, 2, 1, 1)"),
                ("x", npy("<f4", (0, 2, 1), b""), "it is empty: its shape is (0, 2, 1)"),
                ("x", npy("<f4", (10**9, 10**6, 10**6), bytes(512)), "more values than any file"),
                ("x", npy("<f4", (10**6, 10**6, 1), bytes(512)),
                 "its values need 4000000000000 bytes, but it has only 512"),
                ("x", good[:-1], "its values need 512 bytes, but it has only 511"),
                ("x", good + b"\0", "there are bytes after its last value"),
                ("x", x_with(math.nan), "value [63, 1, 0] is nan, which is not finite as float32"),
                ("x", x_with(math.inf), "value [63, 1, 0] is inf"),
                ("x", x_with(-math.inf, "d", ">f8"), "value [63, 1, 0] is -inf"),
                ("x", x_with(1e39, "d", "<f8"), "value [63, 1, 0] is 1e+39"),
                ("x", gzip.compress(good)[:-4], "it is truncated within its gzip data"),
                ("x", npy_of([0.1] * 128, (64, 2, 1), "f", "<f4"), "values cannot be normalized"),
                ("y", npy("<f4", (64,), bytes(256)), "its elements are '<f4', but must be whole numbers"),
                ("y", npy("|b1", (64,), bytes(64)), "its elements are '|b1'"),
                ("y", npy("|u1", (64, 1), bytes(64)), "its shape is (64, 1), but must be (sequences,)"),
                ("y", npy("|u1", (63,), bytes(63)), f"63 labels, but {path('wrong_x.npy')} has 64 sequences"),
                ("y", npy_of([0] * 63 + [-1], (64,), "b", "|i1"),
                 "the label of sequence 63 is -1, but must be 0 to 65535"),
                ("y", npy_of([0] * 63 + [65536], (64,), "Q", "<u8"), "the label of sequence 63 is 65536"),
                ("y", npy_of([2**64 - 1] * 64, (64,), "Q", ">u8"), "the label of sequence 0 is 18446744073709551615"),
                ("lengths", npy_of(lengths[:63], (63,), "b", "|i1"), "63 lengths, but"),
                ("lengths", npy_of(lengths[:63] + [3], (64,), "h", "<i2"),
                 "the length of sequence 63 is 3, but must be 1 to 2"),
                ("lengths", npy_of([0] + lengths[1:], (64,), "b", "|i1"), "the length of sequence 0 is 0"),
                ("lengths", npy("<f4", (64,), bytes(256)), "its elements are '<f4'"),
                ("test-x", npy("<f4", (64, 1, 2), bytes(512)),
                 "its sequences have 1 steps of 2 inputs, but those to train on have 2 steps of 1"),
                ("test-y", npy("|u1", (64,), bytes(63) + b"\x02"),
                 "the label of sequence 63 is 2, but there are only the classes 0 to 1")):
            with self.subTest(option=option, text=text):
                files = {"x": x_with(1), "y": labels}
                if option.startswith("test"):
                    files |= {"test-x": good, "test-y": labels}
                files[option] = data
                args = ["train", "npy", *QUICK]
                for key, content in files.items():
                    args += ["--" + key, write(f"wrong_{key}.npy", content)]
                self.fails(DATA, path(f"wrong_{option}.npy") + ": ", text, args=args)

    def test_missing_files_and_options(self):
        for option in "x", "y", "lengths", "test-x":
            self.fails(IO, "cannot read " + path("missing.npy"), "No such file",
                       args=(*self.own, *(("--test-y", self.test_y) if option == "test-x" else ()), f"--{option}",
                             path("missing.npy")))
        for args, text in (((), "use --x FILE and --y FILE"), (("--x", self.x), "use --x FILE and --y FILE"),
                           (("--x", self.x, "--y", self.y, "--test-x", self.x), "--test-x and --test-y go together"),
                           (("--x", self.x, "--y", self.y, "--test-lengths", self.y), "--test-lengths needs"),
                           (("--x", self.x, "--y", self.y, "--test-x", self.x, "--test-y", self.y, "--hold-out", "0.2"),
                            "--hold-out takes the test set from --x")):
            self.fails(USAGE, text, "Try: tally train npy --help", args=("train", "npy", *args))

    def test_another_share_held_out_is_another_run(self):
        name, tested = path("held_out.safetensors"), path("tested.safetensors")
        files = ("--x", self.x, "--y", self.y)
        test = ("--test-x", self.test_x, "--test-y", self.test_y)
        self.assertEqual(self.passes_json(*self.own, "--out", name)["hold_out"], 0.1)
        self.fails(USAGE, f"option --hold-out: 0.2, but the run in {name} was started with 0.1",
                   args=("train", "--resume", name, *files, "--hold-out", "0.2"))
        self.fails(USAGE, "--hold-out takes the test set from --x", args=("train", "--resume", name, *files, *test))
        self.passes_json("train", "--resume", name, *files, "--hold-out", "0.1", "--device", "cpu")
        self.assertIsNone(self.passes_json(*self.own, *test, "--out", tested)["hold_out"])
        self.fails(USAGE, f"option --hold-out: 0.1, but the run in {tested} was started with none",
                   args=("train", "--resume", tested, *files, "--hold-out", "0.1"))
        self.fails(DATA, f"{tested}: its run was started on other data: their train_size was 64 and is now 58",
                   args=("train", "--resume", tested, *files))

    def test_sequences_of_unequal_length(self):
        """The class is a sequence's last value. Values after it are neither read nor checked."""
        rng = random.Random(2)
        steps, name = 6, path("uneven.safetensors")

        def part(prefix, count, behind):
            lengths = [rng.randrange(1, steps + 1) for _ in range(count)]
            labels = [rng.randrange(2) for _ in range(count)]
            values = []
            for length, label in zip(lengths, labels):
                values += [rng.random() for _ in range(length - 1)] + [label] + [behind] * (steps - length)
            return (write(prefix + "x.npy", npy_of(values, (count, steps, 1), "f", "<f4")),
                    write(prefix + "y.npy", npy_of(labels, (count,), "q", "<i8")),
                    write(prefix + "lengths.npy", npy_of(lengths, (count,), "H", ">u2")))

        def train(behind, *more):
            rng.seed(2)
            x, y, lengths = part("u_", 200, behind)
            return self.passes_json("train", "npy", "--x", x, "--y", y, "--lengths", lengths, "--device", "cpu",
                                    "--hidden", "16", "--epochs", "60", "--batch", "20", "--lr", "0.01", *more)
        r = train(0.0, "--out", name)
        self.assertEqual((r["train_size"], r["tested"], r["mistakes"]), (180, 20, 0))
        for behind in 7.0, math.nan, math.inf:
            self.assertEqual(train(behind)["weights_sha256"], r["weights_sha256"])
        x, y, lengths = part("v_", 50, math.nan)
        tested = self.passes_json("eval", name, "--x", x, "--y", y, "--lengths", lengths, "--device", "cpu")
        self.assertEqual((tested["tested"], tested["mistakes"]), (50, 0))
        with_test = train(0.0, "--test-x", x, "--test-y", y, "--test-lengths", lengths)
        self.assertEqual((with_test["train_size"], with_test["tested"], with_test["mistakes"]), (200, 50, 0))
        predict = ("predict", name, "--device", "cpu", "--npy")
        lines = self.passes(tally(*predict, x, "--lengths", lengths)).splitlines()
        with open(y, "rb") as file:
            labels = struct.unpack("<50q", file.read()[-400:])
        self.assertEqual([int(line.split()[1]) for line in lines], list(labels))
        self.fails(DATA, x, "is nan", args=(*predict, x))
        self.fails(DATA, y, "the length of sequence ", args=(*predict, x, "--lengths", y))
        self.fails(USAGE, "--lengths needs --npy", args=("predict", name, "--idx", x, "--lengths", y))

    def test_weights_that_overflow(self):
        def huge(header, data):
            first, last = header["head.weight"]["data_offsets"]
            data[first:last] = struct.pack("<80f", *[3e38] * 40, *[-3e38] * 40)
            header["__metadata__"].pop("weights_sha256")
        name = change_model(self.model, "huge.safetensors", huge)
        self.fails(NUMBERS, self.x + ": the probability of class ", " is not a number",
                   args=("predict", name, "--npy", self.x, "--device", "cpu", "--json"))


class Models(Files):
    """A model's notes state the shape of its sequences."""

    def test_wrong_shapes_and_labels(self):
        wide = write("wide.npy", npy("|u1", (64, 28, 29), bytes(64 * 28 * 29)))
        text = "its sequences have 28 steps of 29 inputs, but the model takes 28 steps of 28"
        self.fails(DATA, wide, text, args=("eval", self.model, "--x", wide, "--y", self.y))
        self.fails(DATA, wide, text, args=("predict", self.model, "--npy", wide))
        images = write("images", idx([0] * 2 * 14 * 28, 2, 14, 28))
        self.fails(DATA, images, "14 steps of 28 inputs, but the model takes 28 steps of 28",
                   args=("predict", self.model, "--idx", images))
        labels = write("ten.npy", npy("|u1", (64,), bytes([10] * 64)))
        self.fails(DATA, labels, "the label of sequence 0 is 10, but there are only the classes 0 to 9",
                   args=("eval", self.model, "--x", self.x, "--y", labels))
        self.fails(DATA, "ends within its header",
                   args=("predict", self.model, "--idx", write("images", fixture("train", IMAGES)[:8])))
        for args in ("eval", self.model, "--data"), ("predict", self.model, "--idx"), ("predict", self.model, "--npy"):
            self.fails(IO, "cannot read", "No such file", args=(*args, path("missing")))

    def test_what_goes_with_which_model(self):
        count = path("count.safetensors")
        self.passes(tally("train", "count", "--length", "4", *QUICK, "--quiet", "--out", count))
        self.fails(USAGE, "counts ones", args=("eval", count, "--data", FIXTURE))
        self.fails(USAGE, "counts ones", args=("eval", count, "--x", self.x, "--y", self.y))
        self.fails(USAGE, "counts ones in strings", args=("predict", count, "--npy", self.x))
        for args in (), ("--x", self.x), ("--y", self.y), ("--data", FIXTURE, "--x", self.x), ("--lengths", self.y):
            self.fails(USAGE, "is tested on --data DIR, or on --x X.npy and --y Y.npy",
                       args=("eval", self.model, *args))
        for args in (), ("0101",), ("-",):
            self.fails(USAGE, "is a model of the task mnist: it needs --idx IMAGES or --npy X.npy",
                       args=("predict", self.model, *args))
        self.fails(USAGE, "either --idx or --npy", args=("predict", self.model, "--idx", "a", "--npy", "b"))
        self.fails(USAGE, "not both", args=("predict", self.model, "0101", "--npy", "b"))

    def test_notes_that_are_missing_or_wrong(self):
        eval_it = ("--data", FIXTURE, "--device", "cpu")
        for key in "time_steps", "inputs", "classes", "mean", "deviation":
            name = change_notes(self.model, "changed.safetensors", lambda notes: notes.pop(key))
            self.fails(MODEL, name, f"it has no note {key},", args=("eval", name, *eval_it))
            self.fails(MODEL, name, f"it has no note {key},", args=("predict", name, "--npy", self.x))
        for key, value, text in (("inputs", "27", "but it takes 28 inputs a step"),
                                 ("classes", "9", "but it has 10 classes"),
                                 ("time_steps", "0", "not a whole number from 1"), ("mean", "nan", "not a number"),
                                 ("deviation", "0", "not a number from 1.17549e-38"),
                                 ("normalize", "all", "not standard or"),
                                 ("task", "count", "28 inputs a step"),
                                 ("task", "mnists", "not count or mnist or npy")):
            name = change_notes(self.model, "changed.safetensors", lambda notes: notes.update({key: value}))
            self.fails(MODEL, name, text, args=("eval", name, *eval_it))
        # These notes alone are required.
        name = change_notes(self.model, "changed.safetensors", lambda notes: [notes.pop(key) for key in (
            "train_size", "normalize", "weights_sha256", "seed", "epochs", "shuffle")])
        self.assertEqual(self.passes_json("eval", name, *eval_it)["mistakes"], self.trained["mistakes"])

    def test_text_of_eval_without_all_notes(self):
        """Missing notes are not reported."""
        name = change_notes(self.model, "changed.safetensors", lambda notes: notes.pop("train_size"))
        self.assertNotIn("Trained", self.passes(tally("eval", name, "--data", FIXTURE, "--device", "cpu", "--quiet")))


if __name__ == "__main__":
    main()
