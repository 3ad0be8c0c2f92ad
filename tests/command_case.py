"""Common parts of the tests that run the tally command. The environment variable TALLY is its path.

A test whose device is missing is skipped or, if TALLY_REQUIRE_DEVICES=1 declares every device present, fails."""

import atexit
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import unittest

TALLY = os.environ["TALLY"]
MEMORY, USAGE, DATA, MODEL, DEVICE, NUMBERS, IO, PARITY = 1, 2, 3, 4, 5, 6, 7, 8
SECONDS = 300  # longer than any command takes, even under a sanitizer or on a busy machine
SKIPPED = 77  # the exit status by which meson recognises a skipped test

with open(TALLY, "rb") as file:
    SANITIZED = b"__asan_init" in file.read()
folder = tempfile.TemporaryDirectory()
atexit.register(folder.cleanup)
no_drivers = os.path.join(folder.name, "no-drivers")
os.mkdir(no_drivers)
cache = os.path.join(folder.name, "cache")
os.mkdir(cache)


def drivers_caches():
    """The users' own caches of PoCL and Mesa, so that kernels are not compiled again for every test."""
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return {"POCL_CACHE_DIR": os.environ.get("POCL_CACHE_DIR") or os.path.join(caches, "pocl", "kcache"),
            "MESA_SHADER_CACHE_DIR": os.environ.get("MESA_SHADER_CACHE_DIR") or caches}


def environment(**changes):
    """An environment without OpenCL drivers, without a terminal's settings and without the user's cache of tally."""
    env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "TERM")}
    env.update(drivers_caches())
    env["OCL_ICD_VENDORS"] = no_drivers
    env["XDG_CACHE_HOME"] = cache
    env["TALLY_CACHE"] = "off"
    for key, value in changes.items():
        if value is None:
            env.pop(key, None)
        else:
            env[key] = value
    return env


def path(name):
    return os.path.join(folder.name, name)


def write(name, data):
    """Writes a file with these bytes and returns its path."""
    with open(path(name), "wb") as file:
        file.write(data)
    return path(name)


def npy(descr, shape, data, fortran="False", version=1):
    """The bytes of an npy file; data is the bytes of its values."""
    header = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    size = 10 if version == 1 else 12
    header += b" " * (-(size + len(header) + 1) % 64) + b"\n"
    return b"\x93NUMPY" + bytes((version, 0)) + struct.pack("<H" if version == 1 else "<I", len(header)) + header + data


def start(*args, before=None, **kwargs):
    """Starts the command in a new session with default signal actions, even if this process ignores the signals."""
    def prepare():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        if before is not None:
            before()
    kwargs.setdefault("stdin", subprocess.DEVNULL)
    kwargs.setdefault("stdout", subprocess.PIPE)
    kwargs.setdefault("stderr", subprocess.PIPE)
    kwargs.setdefault("env", environment())
    return subprocess.Popen([TALLY, *args], start_new_session=True, preexec_fn=prepare, **kwargs)


class Outcome:
    def __init__(self, process, out, err):
        self.code = process.returncode
        self.out = (out or b"").decode()
        self.err = (err or b"").decode()


def finish(process, feed=None):
    try:
        return Outcome(process, *process.communicate(feed, timeout=SECONDS))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise


def tally(*args, feed=None, **kwargs):
    if feed is not None:
        kwargs["stdin"] = subprocess.PIPE
    return finish(start(*args, **kwargs), feed)


def missing(device):
    """Skips the test or class because a device is missing, or fails with TALLY_REQUIRE_DEVICES=1."""
    if os.environ.get("TALLY_REQUIRE_DEVICES") == "1":
        raise AssertionError(f"{device} is missing, and TALLY_REQUIRE_DEVICES=1")
    raise unittest.SkipTest(f"{device} is missing")


def main():
    """Runs the module's tests; the exit status is SKIPPED if all of them were skipped."""
    result = unittest.main(exit=False).result
    for test, why in result.skipped:
        print(f"skipped: {test.id()}: {why}")
    # A class that is skipped as a whole is counted as one skip, and its tests are not counted as run.
    ran = result.testsRun - sum(isinstance(test, unittest.TestCase) for test, _ in result.skipped)
    sys.exit(not result.wasSuccessful() or (SKIPPED if result.skipped and not ran else 0))


class Case(unittest.TestCase):
    def passes(self, outcome):
        self.assertEqual((outcome.code, outcome.err), (0, ""))
        return outcome.out

    def passes_json(self, *args, **kwargs):
        return json.loads(self.passes(tally(*args, "--json", *(["--quiet"] if args[0] in ("train", "eval") else []),
                                            **kwargs)))

    @classmethod
    def drivers(cls, platform="", **changes):
        """A platform's OpenCL devices, and an environment with drivers; skips the test or class if there are none."""
        env = environment(OCL_ICD_VENDORS=os.environ.get("OCL_ICD_VENDORS"), **changes)
        outcome = tally("devices", "--json", env=env)
        assert outcome.code == 0, outcome.err
        listed = json.loads(outcome.out)
        if "built without OpenCL" in (listed["opencl_note"] or ""):
            raise unittest.SkipTest("built without OpenCL")
        devices = [device for device in listed["devices"]
                   if device["backend"] == "opencl" and device["platform"].startswith(platform)]
        return devices or missing(platform or "an OpenCL device"), env

    @classmethod
    def driver(cls, platform, **changes):
        """The selector of a platform's first device, and an environment with drivers."""
        devices, env = cls.drivers(platform, **changes)
        return devices[0]["selector"], env

    @classmethod
    def pocl(cls, **changes):
        return cls.driver("Portable Computing Language", **changes)

    @classmethod
    def rusticl(cls, **changes):
        return cls.driver("rusticl", RUSTICL_ENABLE="llvmpipe", **changes)

    def fails(self, code, *texts, args, out="", **kwargs):
        """Checks the exit code, that stdout is empty or as given, and that stderr contains each of the texts."""
        outcome = tally(*args, **kwargs)
        self.assertEqual(outcome.code, code, outcome.err)
        self.assertEqual(outcome.out, out)
        for text in texts:
            self.assertIn(text, outcome.err)


def catches(process, number):
    """Whether the process has a handler for a signal."""
    with open(f"/proc/{process.pid}/status") as status:
        caught = next(line for line in status if line.startswith("SigCgt:"))
    return int(caught.split()[1], 16) >> (number - 1) & 1 == 1


class Terminal:
    """A command whose stderr and controlling terminal are a terminal with the given number of columns."""

    def __init__(self, *args, columns, **env):
        try:
            self.master, slave = pty.openpty()
        except OSError as error:  # a bare chroot without devpts
            raise unittest.SkipTest("no terminal to be had: %s" % error)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

        def control():
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        env.setdefault("TERM", "xterm")
        self.process = start(*args, stderr=slave, env=environment(**env), before=control)
        os.close(slave)
        self.shown = b""

    def read(self):
        """Reads the next output; False at its end."""
        if not select.select([self.master], [], [], SECONDS)[0]:
            raise TimeoutError("nothing on the terminal")
        try:
            more = os.read(self.master, 65536)
        except OSError:  # EIO: the command has closed its side
            more = b""
        self.shown += more
        return more != b""

    def finish(self):
        while self.read():
            pass
        os.close(self.master)
        out = self.process.stdout.read().decode()
        self.process.stdout.close()
        return self.process.wait(timeout=SECONDS), out

    def text(self):
        """The text as the command wrote it, without the CR that the terminal adds before each LF."""
        return self.shown.decode().replace("\r\n", "\n")
