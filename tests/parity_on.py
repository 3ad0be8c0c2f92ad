"""parity_on.py ARGUMENT...: runs tally parity with these arguments on the first device of the platform
TALLY_TEST_DEVICE."""
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
