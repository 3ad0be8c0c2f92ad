"""parity_on.py ARGUMENT...: tally parity with these arguments on the device TALLY_TEST_DEVICE, which is a platform's name."""
import os
import subprocess
import sys
import unittest

from command_case import SKIPPED, TALLY, Case

try:
    device, env = Case.driver(os.environ["TALLY_TEST_DEVICE"])
except unittest.SkipTest as why:
    print(f"skipped: {why}")
    sys.exit(SKIPPED)
sys.exit(subprocess.call([TALLY, "parity", "--device", device, *sys.argv[1:]], env=env))
