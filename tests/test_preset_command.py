"""tally train count --preset zero: its settings, the options that may be combined with it, and that it ends without
mistakes."""
import unittest

from command_case import USAGE, Case, main, path, tally

SMALL = ("train", "count", "--device", "cpu", "--length", "8", "--hidden", "8", "--quiet")
ZERO = {"draw": "runs", "batch": 64, "epochs_wanted": 1000, "learning_rate": 0.003, "lr_decay": "cosine",
        "shuffle": True}
GUIDE = {"draw": "random", "batch": 1000, "epochs_wanted": 5000, "learning_rate": 0.001, "lr_decay": "none",
         "shuffle": False}


class Preset(Case):
    def recipe(self, *options):
        r = self.passes_json(*SMALL, *options)
        return {key: r[key] for key in ZERO}

    def test_what_it_sets(self):
        self.assertEqual(self.recipe("--preset", "zero", "--epochs", "2"), {**ZERO, "epochs_wanted": 2})
        self.assertEqual(self.recipe("--epochs", "2"), {**GUIDE, "epochs_wanted": 2})
        self.assertEqual(self.recipe("--preset=guide", "--epochs", "2"), {**GUIDE, "epochs_wanted": 2})

    def test_other_options_count_wherever_they_stand(self):
        self.assertEqual(self.recipe("--batch", "32", "--epochs=1", "--preset", "zero", "--draw", "even"),
                         {**ZERO, "batch": 32, "epochs_wanted": 1, "draw": "even"})

    def test_wrong(self):
        self.fails(USAGE, "option --preset", "'nil'", "guide or zero", args=(*SMALL, "--preset", "nil"))
        self.fails(USAGE, "--preset", args=("train", "mnist", "--preset", "zero"))
        name = path("preset.safetensors")
        self.passes(tally(*SMALL, "--epochs", "1", "--out", name))
        self.fails(USAGE, "option --preset", name, args=("train", "--resume", name, "--preset", "zero"))


class Recipe(Case):
    def test_no_mistake(self):
        r = self.passes_json("train", "count", "--preset", "zero", "--device", "cpu", "--threads", "1", "--quiet")
        self.assertEqual((r["mistakes"], r["tested"]), (0, (1 << 20) - 10000))
        self.assertEqual(r["weights_sha256"], "04044c7afa173877011546e7b9ce1ea48b49abef3e406288d14832c5a84e3228")


if __name__ == "__main__":
    main()
