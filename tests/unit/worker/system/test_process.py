"""What a worker's process asks of its system has its effect, seen in processes of its own."""

from __future__ import annotations

import subprocess
import sys

from tests.support.python_program import ROOT, printed_numbers


def test_the_limit_of_open_files_is_raised_as_far_as_allowed() -> None:
    """A soft limit of 256 becomes the hard limit, and so a worker has room for its connections."""
    program = """
import resource
from worker.system.process import open_many_files

_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
open_many_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    soft, hard = printed_numbers(program)
    assert soft == hard > 256


def test_a_thread_that_hangs_does_not_keep_a_process() -> None:
    """A process whose executor never ends exits with the code it was to exit with, when its time is up."""
    program = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from worker.system.process import end_in_time

ThreadPoolExecutor(1).submit(threading.Event().wait)
end_in_time(7, within_s=0.2)
sys.exit(7)
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=20, check=False)
    assert ended.returncode == 7
