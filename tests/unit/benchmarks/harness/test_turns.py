"""What lets contestants stand side by side: families that wait, ports of their own, engines with fewer threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.harness.process_tree import descendants, going, pause, resume
from benchmarks.harness.rounds import cpu_s, free_ports
from benchmarks.harness.turns import shuffled
from benchmarks.rivals.contestant import Contestant, NotRunning, running
from benchmarks.worker.few_cores import cores
from worker.system.cpu import usable_cores

BUSY = "while True: pass"
PARENT = f"""import subprocess, sys
subprocess.Popen([sys.executable, "-c", {BUSY!r}])
print(1, flush=True)
{BUSY}"""


def state(pid: int) -> str:
    """T of a process that is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_paused_family_computes_nothing_and_goes_on_where_it_is_told_to() -> None:
    """Neither the process nor its child takes time from who is measured."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        (child,) = descendants(process.pid)
        try:
            pause(process.pid)
            while (state(process.pid), state(child)) != ("T", "T"):
                os.sched_yield()
            before_s = cpu_s(child)
            with going(process.pid):
                while cpu_s(child) == before_s:  # until it computes again
                    os.sched_yield()
            while (state(process.pid), state(child)) != ("T", "T"):
                os.sched_yield()
        finally:
            os.kill(child, 9)
            process.kill()
            resume(process.pid)


def test_ports_given_together_differ() -> None:
    """A server with three ports gets three."""
    assert len(set(free_ports(20))) == 20


def test_an_engine_loaded_with_one_core_has_one_thread() -> None:
    """And whoever loaded it has all cores again."""
    before = os.sched_getaffinity(0)
    with cores(1, first=1):
        assert usable_cores() == 1
    with cores(0):
        assert os.sched_getaffinity(0) == before
    assert os.sched_getaffinity(0) == before


def test_a_server_whose_port_was_taken_is_started_once_more(tmp_path: Path) -> None:
    """On another port; what fails for another reason is not."""
    script = (
        "import http.server, pathlib, sys\n"
        "tried = pathlib.Path(sys.argv[2])\n"
        "if not tried.exists():\n"
        "    tried.touch()\n"
        "    sys.exit(sys.argv[3])\n"
        "class Cat(http.server.BaseHTTPRequestHandler):\n"
        "    def do_POST(self):\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        "        self.wfile.write(b'cat')\n"
        "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Cat).serve_forever()\n"
    )
    image = tmp_path / "image.jpg"
    image.write_bytes(b"x")

    def once(mark: str, complaint: str) -> Contestant:
        command = (sys.executable, "-c", script, "{port}", str(tmp_path / mark), complaint)
        return Contestant(name=mark, command=command, path="/", body="raw")

    with running(once("taken", "OSError: [Errno 98] Address already in use"), [image], label="cat", log=tmp_path / "a"):
        pass
    with (
        pytest.raises(NotRunning, match="no such model"),
        running(once("wrong", "no such model"), [image], label="cat", log=tmp_path / "b"),
    ):
        pass


def test_the_order_of_turns_differs_between_rounds_and_leaves_nobody_out() -> None:
    """So that nobody always follows the same neighbour."""
    orders = {tuple(shuffled("abcdefg", number)) for number in range(6)}
    assert len(orders) > 1
    assert all(sorted(order) == list("abcdefg") for order in orders)
