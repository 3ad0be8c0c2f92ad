"""The command's cache. It keeps compiled kernels: rusticl's as binaries; for PoCL, which has its own cache, only the
fact that they were compiled. Whatever is wrong with an entry, the results are the same, and a start reports that it
compiles. The cache also keeps which route is faster, which is measured here with TALLY_MEASURE_ROUTE."""
import hashlib
import os
import re
import unittest

from command_case import SANITIZED, Case, finish, main, path, start, tally

MODEL = ("train", "count", "--length", "6", "--hidden", "4", "--epochs", "2", "--batch", "32", "--train-size", "32",
         "--json")
COMPILING, KEEPING = "compiling tally's kernels ", "keeping the compiled kernels for the next start\n"
KEPT = " (kept for the next start)\n"
MEASURING = "measuring which route is faster on "
PROGRAMS = 2  # the program common to all cells and that of the model's cell


def sealed(name, payload):
    """A cache entry with a valid header and digest and any payload."""
    digest = hashlib.sha256(name.encode() + b"\0" + payload).hexdigest()
    return f"tally cache 1 {digest} {len(payload):016x}\n".encode() + payload


@unittest.skipIf(SANITIZED, "drivers leak")
class Cached(Case):
    """Tests of tally's cache on the device of a subclass. Its driver may have a cache, too."""
    keeping = False  # whether the driver's binaries are kept

    @classmethod
    def find(cls, driver):
        cls.device, cls.here = driver(TALLY_CACHE=None)
        cls.weights = cls.digest(tally(*MODEL, "--device", "cpu", "--quiet"))

    def setUp(self):
        self.home = path(self.id())
        os.mkdir(self.home)

    @staticmethod
    def digest(outcome):
        assert outcome.code == 0, outcome.err
        return outcome.out[outcome.out.index('"weights_sha256"'):].split('"')[3]

    def environment(self, **changes):
        env = {**self.here, "XDG_CACHE_HOME": self.home, **changes}
        return {key: value for key, value in env.items() if value is not None}

    def train(self, *options, **changes):
        outcome = tally(*MODEL, "--device", self.device, *options, env=self.environment(**changes))
        self.assertEqual(self.digest(outcome), self.weights)
        return outcome.err

    def cold(self, **changes):
        said = self.train(**changes)
        self.assertIn(COMPILING, said)
        self.assertIn(KEPT, said)
        self.assertEqual(KEEPING in said, self.keeping)

    def warm(self, **changes):
        said = self.train(**changes)
        self.assertNotIn(COMPILING, said)
        self.assertNotIn(KEEPING, said)

    def nothing_kept(self, **changes):
        """Each start reports that it compiles and that nothing is kept."""
        for _ in range(2):
            said = self.train(**changes)
            self.assertIn(COMPILING, said)
            self.assertNotIn(KEPT, said)
            self.assertNotIn(KEEPING, said)

    def entry(self, ending="program"):
        """The entry of one of the two programs."""
        kept = os.path.join(self.home, "tally")
        names = sorted(name for name in os.listdir(kept) if name.endswith("." + ending))
        self.assertEqual(len(names), PROGRAMS if ending == "program" else 1)
        return os.path.join(kept, names[0])

    def damaged(self, *wrongs):
        """A damaged entry has the same effect as none."""
        name = self.entry()
        for wrong in wrongs:
            with self.subTest(bytes=len(wrong)):
                with open(name, "wb") as file:
                    file.write(wrong)
                self.cold()
                self.warm()


class Rusticl(Cached):
    keeping = True

    @classmethod
    def setUpClass(cls):
        cls.find(cls.rusticl)

    def test_the_binary_is_kept(self):
        self.cold()
        self.warm()
        with open(self.entry(), "rb") as file:
            whole = file.read()
        self.assertGreater(len(whole), len(sealed("", b"")))
        self.damaged(whole[:len(whole) // 2], whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])


class Pocl(Cached):
    @classmethod
    def setUpClass(cls):
        cls.find(cls.pocl)

    def route(self, **changes):
        """The route that auto selects, the reason, and whether it was measured in this run."""
        outcome = tally(*MODEL, "--device", self.device, "--verbose",
                        env=self.environment(TALLY_MEASURE_ROUTE="any", **changes))
        self.assertEqual(outcome.code, 0, outcome.err)
        route, why = re.search(r"^route (\w+) \((.*)\), arithmetic", outcome.err, re.MULTILINE).groups()
        self.assertIn(f'"route": "{route}"', outcome.out)
        return route, why, MEASURING in outcome.err

    def test_a_second_start_compiles_nothing(self):
        self.cold()
        self.assertEqual(os.stat(os.path.dirname(self.entry())).st_mode & 0o777, 0o700)
        self.warm()
        with open(self.entry(), "rb") as file:
            self.assertEqual(file.read(), sealed(os.path.basename(self.entry()), b""))

    def test_quiet(self):
        self.assertEqual(self.train("--quiet"), "")
        self.assertEqual(self.train("--quiet"), "")

    def test_damaged_entries_are_built_again(self):
        self.cold()
        with open(self.entry(), "rb") as file:
            whole = file.read()
        self.damaged(b"", whole[:50], whole[:-1], whole + b"\0", b"\0" * len(whole),
                     whole[:-30] + bytes([whole[-30] ^ 1]) + whole[-29:], sealed("another", b""),
                     sealed(os.path.basename(self.entry()), b"no program"))

    def test_another_program_is_another_entry(self):
        self.cold()
        self.cold(TALLY_CL_COLUMNS="1")
        self.assertEqual(len(os.listdir(os.path.join(self.home, "tally"))), 2 * PROGRAMS)
        self.warm()
        self.warm(TALLY_CL_COLUMNS="1")

    def test_nowhere_to_keep_it(self):
        file = os.path.join(self.home, "file")
        open(file, "w").close()
        for changes in ({"TALLY_CACHE": "off"}, {"XDG_CACHE_HOME": None, "HOME": None}, {"XDG_CACHE_HOME": file}):
            with self.subTest(**changes):
                self.nothing_kept(**changes)
        os.mkdir(os.path.join(self.home, "tally"))
        os.chmod(os.path.join(self.home, "tally"), 0o777)
        self.nothing_kept()
        self.assertEqual(os.listdir(os.path.join(self.home, "tally")), [])

    def test_where_pocl_cannot_keep_it(self):
        """rusticl then lists no device, and only its debug output says why."""
        outcome = tally("devices", env=self.environment(POCL_CACHE_DIR="/dev/null/pocl"))
        self.assertEqual(outcome.code, 0)
        self.assertRegex(outcome.out, r"No OpenCL device: \d+ platforms?, but no device; PoCL .*POCL_CACHE_DIR")

    def test_several_at_once(self):
        for _ in range(2):  # without an entry, and with a damaged one
            running = [start(*MODEL, "--device", self.device, env=self.environment()) for _ in range(4)]
            for outcome in [finish(process) for process in running]:
                self.assertEqual(self.digest(outcome), self.weights)
            self.warm()
            with open(self.entry(), "r+b") as file:
                file.truncate(50)

    def test_a_processor_is_not_measured(self):
        shown = self.train("--verbose")
        self.assertIn("route exact (CLBlast is written for GPUs)", shown)
        self.assertNotIn(MEASURING, shown)
        self.assertEqual([name for name in os.listdir(os.path.join(self.home, "tally")) if name.endswith("route")], [])

    def test_the_measured_route_is_kept(self):
        first = self.route()
        self.assertRegex(first[1], r"^measured: exact \d+\.\d\d ms, CLBlast \d+\.\d\d ms$")
        self.assertTrue(first[2])
        self.assertEqual(self.route(), (*first[:2], False))
        shown = tally("devices", "--verbose", env=self.environment(TALLY_MEASURE_ROUTE="any")).out
        self.assertIn("     route: %s (%s)\n" % first[:2], shown)
        # A route given on the command line is used.
        said = self.train("--verbose", "--route", "exact", TALLY_MEASURE_ROUTE="any")
        self.assertIn("route exact, arithmetic", said)
        # Kernels of another width are measured separately.
        self.assertTrue(self.route(TALLY_CL_COLUMNS="1")[2])
        self.assertFalse(self.route(TALLY_CL_COLUMNS="1")[2])

    def test_what_was_measured_decides(self):
        self.route()
        name = self.entry("route")
        key = os.path.basename(name)
        for exact, clblast, route in (2000000, 1790000, "clblast"), (2000000, 1800000, "exact"):
            with open(name, "wb") as file:
                file.write(sealed(key, b"exact %d ns, clblast %d ns\n" % (exact, clblast)))
            taken, why, measured = self.route()
            self.assertEqual((taken, measured), (route, False))
            self.assertEqual(why, f"measured: exact {exact / 1e6:.2f} ms, CLBlast {clblast / 1e6:.2f} ms")

    def test_a_damaged_measurement_is_made_again(self):
        self.route()
        name = self.entry("route")
        key, text = os.path.basename(name), b"exact 2000000 ns, clblast 1000 ns\n"
        for wrong in sealed(key, text)[:-1], sealed(key, b"exact 0 ns"):
            with self.subTest(wrong=wrong):
                with open(name, "wb") as file:
                    file.write(wrong)
                self.assertTrue(self.route()[2])
                self.assertFalse(self.route()[2])

    def test_without_a_cache_it_is_measured_each_time(self):
        for _ in range(2):
            self.assertTrue(self.route(TALLY_CACHE="off")[2])


if __name__ == "__main__":
    main()
