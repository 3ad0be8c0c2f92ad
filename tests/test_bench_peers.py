"""scripts/bench-peers without peers: its help, and its messages if no peer is installed or works. TALLY is the
command's path."""

import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCRIPT = os.path.join(ROOT, "scripts", "bench-peers")
NO_PEER = 77
MODULES = "jax", "keras", "numpy", "tensorflow", "torch"


def run_script(*args, modules=None):
    """Runs the script with only the standard library and the modules of a folder."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    if modules is not None:
        env["PYTHONPATH"] = modules
    return subprocess.run([sys.executable, "-S", SCRIPT, *args], capture_output=True, text=True, env=env, timeout=120)


class Peers(unittest.TestCase):
    def test_help_needs_no_peer(self):
        done = run_script("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for text in "-m venv", "pip install -r scripts/bench-peers.txt", "--device D", "--rounds N", "--json FILE":
            self.assertIn(text, done.stdout)

    def test_versions_of_all_that_is_imported_are_stated(self):
        with open(os.path.join(ROOT, "scripts", "bench-peers.txt"), encoding="utf-8") as file:
            lines = [line.split("==") for line in file.read().splitlines() if not line.startswith("#")]
        names = [name.replace("tensorflow-cpu", "tensorflow") for name, version in lines]
        self.assertEqual(sorted(set(names) - {"jaxlib"}), sorted(MODULES))
        for name, version in lines:
            self.assertRegex(version, r"^\d+\.\d+\.\d+$", name)

    def test_without_a_peer(self):
        done = run_script()
        self.assertEqual((done.returncode, done.stdout), (NO_PEER, ""))
        self.assertIn("pytorch, keras, jax cannot be imported by ", done.stderr)
        done = run_script("--peer", "jax")
        self.assertEqual(done.returncode, NO_PEER)
        self.assertIn(" jax cannot be imported by ", done.stderr)

    def test_wrong_options(self):
        for args in ("--peer", "mxnet"), ("--rounds", "0"), ("--rounds", "x"), ("--seconds", "-1"), ("rows",):
            done = run_script(*args)
            self.assertEqual((done.returncode, done.stdout), (2, ""), args)

    def test_failures_are_told(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in MODULES:
                with open(os.path.join(folder, name + ".py"), "w", encoding="utf-8") as file:
                    file.write("raise ImportError('%s is a sham')\n" % name)
            args = "--workload", "count", "--device", "cpu"
            done = run_script(*args, "--tally", os.environ["TALLY"], modules=folder)
            self.assertEqual(done.returncode, 1)
            for text in ("pytorch ended: ", "torch is a sham", "keras ended: ", "jax ended: ",
                         "count: every peer failed"):
                self.assertIn(text, done.stderr)
            done = run_script("--workload", "rows-gru", "--peer", "keras", "--device", "cpu", "--tally",
                              os.environ["TALLY"], modules=folder)
            self.assertEqual(done.returncode, NO_PEER)
            self.assertIn("rows-gru: no peer supports it", done.stderr)
            done = run_script(*args, "--tally", os.path.join(folder, "tally"), modules=folder)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("/tally: No such file or directory; build it, or name it with --tally", done.stderr)
            done = run_script("--workload", "cout", "--device", "cpu", "--tally", os.environ["TALLY"], modules=folder)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("no workload 'cout'; did you mean count?", done.stderr)


if __name__ == "__main__":
    unittest.main()
