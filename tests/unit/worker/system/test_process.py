"""A process ends in time, seen in processes of their own."""

from __future__ import annotations

import subprocess
import sys

from tests.support.python_program import ROOT


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
