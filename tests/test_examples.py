"""The examples, if python3 has torch, numpy and safetensors: PyTorch and tally give the same results for a model,
whichever of them has trained it."""
import json
import os
import random
import subprocess
import sys
import tempfile
import unittest

TALLY, EXAMPLES = os.environ["TALLY"], os.environ["EXAMPLES"]
CLOSE = 1e-6

try:
    import numpy
    import safetensors  # noqa: F401
    import torch  # noqa: F401
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)


def run_command(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def example(name, *arguments):
    lines = run_command(sys.executable, os.path.join(EXAMPLES, name), *arguments).splitlines()
    return [json.loads(line) for line in lines]


class Examples(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.model, self.x = self.folder.name + "/model.safetensors", self.folder.name + "/x.npy"

    def agree(self, theirs):
        ours = json.loads(run_command(TALLY, "predict", self.model, "--npy", self.x, "--json", "--probabilities",
                                      "--device", "cpu"))["predictions"]
        self.assertEqual(len(ours), len(theirs))
        for our, their in zip(ours, theirs):
            self.assertEqual(our["class"], their["class"])
            self.assertEqual(len(our["probabilities"]), len(their["probabilities"]))
            for ours_is, theirs_is in zip(our["probabilities"], their["probabilities"]):
                self.assertLess(abs(ours_is - theirs_is), CLOSE)

    def test_from_pytorch(self):
        for cell in "lstm", "gru", "rnn":
            with self.subTest(cell):
                self.agree(example("pytorch_to_tally.py", self.model, self.x, cell))

    def test_to_pytorch(self):
        generator = random.Random(1)
        x = [[[generator.uniform(-1, 1) for _ in range(2)] for _ in range(5)] for _ in range(40)]
        labels = [int(sum(step[0] for step in sequence) > 0) for sequence in x]
        y = self.folder.name + "/y.npy"
        numpy.save(self.x, numpy.array(x, dtype="float32"))
        numpy.save(y, numpy.array(labels))
        for cell in "lstm", "gru", "rnn":
            for more in (), ("--normalize", "none", "--weights-only"):
                with self.subTest(cell, more=more):
                    run_command(TALLY, "train", "npy", "--x", self.x, "--y", y, "--cell", cell, "--layers", "2",
                                "--hidden", "9", "--epochs", "2", "--device", "cpu", "--quiet", "--out", self.model,
                                *more)
                    self.agree(example("tally_to_pytorch.py", self.model, self.x))


if __name__ == "__main__":
    unittest.main()
