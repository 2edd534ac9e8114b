"""Ends that cut something off: workers that are told to stop under load, broken trailers, servers with daemons."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.attack.kinds.sending import HOST, exchange
from benchmarks.attack.targets import Findings, Targets
from benchmarks.harness.p2p import P2P, ROOT
from benchmarks.harness.processes import server, wait_until

LEAVING = 3
"""Workers that are told to stop, one after the other."""

_ENDS_WITHIN_S = 40.0

_CHUNKED = f"POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()

_SERVER_WITH_DAEMON = """
import http.server, os, pathlib, subprocess, sys
daemon = subprocess.Popen(["sleep", "600"], start_new_session=True)
path = pathlib.Path(sys.argv[2])
path.with_suffix(".new").write_text(str(daemon.pid))
path.with_suffix(".new").rename(path)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(204); self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


async def end_things(targets: Targets, findings: Findings) -> None:
    """End the workers that may leave, send broken trailers, and end a server that has started a daemon."""
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(_end_workers, targets, findings))
        group.create_task(_send_broken_trailers(targets, findings))
        group.create_task(asyncio.to_thread(_end_server_with_daemon, targets, findings))


def _end_workers(targets: Targets, findings: Findings) -> None:
    for pid in targets.leaving:
        os.kill(pid, signal.SIGTERM)
        try:
            wait_until(partial(ended, pid), what="a worker ends after SIGTERM", within_s=_ENDS_WITHIN_S)
            findings.outcomes["workers left"] += 1
        except TimeoutError as error:
            findings.expect(False, str(error))


async def _send_broken_trailers(targets: Targets, findings: Findings) -> None:
    for port in targets.workers:
        status = await exchange(port, _CHUNKED, b"3\r\nabc\r\n", b"0\r\nno trailer\r\n\r\n")
        findings.outcomes[f"broken trailer: {status}"] += 1
        findings.expect(status == "400", f"a broken trailer is answered {status}")


def _end_server_with_daemon(targets: Targets, findings: Findings) -> None:
    """End `p2p exec`: the daemon ends with it, or the log names it."""
    with tempfile.TemporaryDirectory() as folder:
        note, log = Path(folder, "daemon"), Path(folder, "log")
        flags = ("--service", "daemonic", "--consul", f"http://{HOST}:{targets.relay}", "--drain", "0")
        served = (sys.executable, "-c", _SERVER_WITH_DAEMON, "{port}", str(note))
        with server([*P2P, "exec", *flags, "--", *served], core=None, folder=ROOT, log=log):
            wait_until(lambda: log.exists() and "Serving" in log.read_text(), what="p2p exec serves")
            daemon = int(note.read_text())
        lives = not ended(daemon)
        findings.outcomes["daemon lives" if lives else "daemon ended"] += 1
        findings.expect(not lives or str(daemon) in log.read_text(), "p2p exec leaves a daemon behind and says nothing")
        if lives:
            os.kill(daemon, signal.SIGKILL)


def ended(pid: int) -> bool:
    """Whether a process runs no more, be it that it has not been waited for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
