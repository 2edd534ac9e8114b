"""The limit of open files of a server process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]


def test_a_server_process_raises_its_limit() -> None:
    """Whatever is run as a server's main coroutine may open as many files as the hard limit allows."""
    program = """
import resource
from registry.runtime.processes import open_files
from registry.runtime.processes.lifecycle import run

_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))

async def main(stop):
    print(hard, open_files.limit())

run(main, failures=())
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    hard, raised = map(int, ended.stdout.split())
    assert raised == hard > 256
