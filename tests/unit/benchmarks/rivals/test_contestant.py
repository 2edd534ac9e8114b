"""Contestants are started on free ports and must answer rightly."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.rivals.contestant import Contestant, NotRunning, running


def test_a_server_whose_port_was_taken_is_started_once_more(tmp_path: Path) -> None:
    """It is started on another port; a server that fails for another reason is not started again."""
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
