"""Which lines reach stderr while TensorFlow is imported, and where they go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[5]

PROGRAM = r"""
import os, subprocess, sys, tempfile, threading
from worker.engines.tensorflow.quiet_import import quiet_tensorflow

LATER = r"import sys; sys.stdin.read(); sys.stderr.write('said later\n')"
with quiet_tensorflow():
    os.write(2, b"I1128 12:00:00.000000   11 port.cc:153] oneDNN custom operations are on.\n")
    os.write(2, b"said at once\n")
    child = subprocess.Popen([sys.executable, "-c", LATER], stdin=subprocess.PIPE)
with tempfile.TemporaryFile() as file:  # its number is the first that is free
    child.communicate()
    for thread in threading.enumerate():
        if thread.name == "quiet-tensorflow":
            thread.join()
    print(os.fstat(file.fileno()).st_size)
"""


def test_lines_of_others_reach_stderr_and_no_other_file() -> None:
    """Also those of a child that holds the pipe open for longer than the import takes, when other files are open."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stderr.splitlines() == ["said at once", "said later"]
    assert ran.stdout == "0\n"
