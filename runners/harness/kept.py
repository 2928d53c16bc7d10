"""What the harness calls of the interpreter, taken before code of a repository runs, which may patch `open` or `os`."""

from __future__ import annotations

import os
import sys
import time

open_file, monotonic, sleep, getframe = open, time.monotonic, time.sleep, sys._getframe
clock_gettime = time.clock_gettime
fork, exit_now, kill, write, read = os.fork, os._exit, os.kill, os.write, os.read
