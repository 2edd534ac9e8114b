"""A server that knows nothing of us: `any_server.py PORT FOLDER`; its orders and its notes are files in FOLDER.

Orders: `status` holds what it answers (200 without it); `stubborn` makes it ignore SIGTERM; `family` makes it
start a process that takes half a second to end and notes `finished` then.
Notes: `asked` gets a line for each request, `heard` one for each signal; `pid` and `descendant` hold process ids.
GET /exit?CODE ends it, GET /die kills it. On SIGTERM it writes the services that the agent at CONSUL_HTTP_ADDR
knows to `known`, and ends with 3.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

PORT, FOLDER = int(sys.argv[1]), Path(sys.argv[2])


def note(file: str, line: str) -> None:
    with (FOLDER / file).open("a") as notes:
        notes.write(f"{line}\n")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        note("asked", self.path)
        if self.path.startswith("/exit?"):
            os._exit(int(self.path.removeprefix("/exit?")))
        if self.path == "/die":
            os.kill(os.getpid(), signal.SIGKILL)
        status = FOLDER / "status"
        self.send_response(int(status.read_text()) if status.exists() else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


def heard(number: int, _frame: object) -> None:
    name = signal.Signals(number).name
    note("heard", name)
    if name == "SIGTERM" and not (FOLDER / "stubborn").exists():
        with urlopen(f"http://{os.environ['CONSUL_HTTP_ADDR']}/v1/agent/services") as answer:
            (FOLDER / "known").write_bytes(answer.read())
        os._exit(3)


for name in ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"):
    signal.signal(getattr(signal, name), heard)
if (FOLDER / "family").exists():
    at_end = f"sleep 0.5; echo yes > {FOLDER}/finished; exit"
    slow = f"trap '{at_end}' TERM; echo yes > {FOLDER}/ready; while :; do sleep 0.1; done"
    descendant = subprocess.Popen(["sh", "-c", slow])
    note("descendant", str(descendant.pid))
server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
note("pid", str(os.getpid()))
server.serve_forever()
