"""What the tests of the tally command share: it is run from outside. TALLY names the program."""

import atexit
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import tempfile
import termios
import unittest

TALLY = os.environ["TALLY"]
MEMORY, USAGE, DATA, MODEL, DEVICE, NUMBERS, IO, PARITY = 1, 2, 3, 4, 5, 6, 7, 8
SECONDS = 300  # more than any of these takes, even under a sanitizer or on a busy machine

with open(TALLY, "rb") as file:
    SANITIZED = b"__asan_init" in file.read()
folder = tempfile.TemporaryDirectory()
atexit.register(folder.cleanup)
no_drivers = os.path.join(folder.name, "no-drivers")
os.mkdir(no_drivers)
cache = os.path.join(folder.name, "cache")
os.mkdir(cache)


def environment(**changes):
    """No OpenCL driver unless a test wants those that are here, no terminal's settings, and none of the user's caches."""
    env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "TERM")}
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


def start(*args, before=None, **kwargs):
    """In a process group of its own, with the signals' default actions, whatever this process has ignored."""
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


class Case(unittest.TestCase):
    def passes(self, outcome):
        self.assertEqual((outcome.code, outcome.err), (0, ""))
        return outcome.out

    def passes_json(self, *args, **kwargs):
        return json.loads(self.passes(tally(*args, "--json", *(["--quiet"] if args[0] in ("train", "eval") else []),
                                            **kwargs)))

    @classmethod
    def driver(cls, platform, **changes):
        """Its first device's selector, and an environment that has drivers and these changes; or the test, or class, is skipped."""
        env = environment(OCL_ICD_VENDORS=os.environ.get("OCL_ICD_VENDORS"), **changes)
        outcome = tally("devices", "--json", env=env)
        assert outcome.code == 0, outcome.err
        for device in json.loads(outcome.out)["devices"]:
            if device["platform"].startswith(platform):
                return device["selector"], env
        raise unittest.SkipTest(f"{platform} is not here")

    @classmethod
    def pocl(cls, **changes):
        return cls.driver("Portable Computing", **changes)

    def fails(self, code, *texts, args, out="", **kwargs):
        """The exit code, nothing on stdout, and each of the texts on stderr."""
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
    """A command whose stderr, and controlling terminal, is a terminal of a width."""

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
        """What comes next; False at its end."""
        if not select.select([self.master], [], [], SECONDS)[0]:
            raise TimeoutError("nothing on the terminal")
        try:
            more = os.read(self.master, 65536)
        except OSError:  # EIO: the other side is closed
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
        """As the command wrote it: the terminal puts CR before each LF."""
        return self.shown.decode().replace("\r\n", "\n")
