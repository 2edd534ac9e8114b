"""How an attacker sees that a process has ended."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.attack.kinds.endings import ended


def test_a_process_that_is_not_waited_for_has_ended() -> None:
    """A dead one stays in the process table until its parent has asked for its exit code."""
    assert not ended(os.getpid())
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert ended(process.pid)
    assert ended(process.pid)
