"""Labels, versions and names that hold escape sequences for the terminals of those who look at them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import tempfile
from pathlib import Path

from benchmarks.attack.kinds.lying_servers import lying_server
from benchmarks.attack.targets import Findings, Targets
from benchmarks.harness.p2p import P2P, ROOT
from tests.support.photos import chelsea_jpeg

TITLE = "\x1b]0;evil\x07"
"""Sets the title of a terminal's window."""

BLINK = "\x1b[5m"
SEQUENCES = (TITLE, BLINK)


async def show_escape_sequences(_: Targets, findings: Findings) -> None:
    """Let classify, status and lookup show them, on a terminal and through a pipe."""
    async with lying_server() as server:
        server.label, server.version = f"{TITLE}cat{BLINK}", f"1{BLINK}"
        server.worker = {"id": f"w{TITLE}", "version": f"1{BLINK}"}
        await asyncio.to_thread(_run_commands, server.port, findings)


def _run_commands(port: int, findings: Findings) -> None:
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder, f"a{BLINK}.jpg")
        photo.write_bytes(chelsea_jpeg())
        for command in (["classify", str(photo)], ["classify", "--csv", str(photo)], ["status"], ["lookup"]):
            for on_terminal in (False, True):
                output = printed([*command, "--registry", f"127.0.0.1:{port}"], on_terminal=on_terminal)
                findings.outcomes[f"p2p {command[0]}"] += 1
                for sequence in SEQUENCES:
                    findings.expect(sequence.encode() not in output, f"p2p {command[0]} prints {sequence!r}")
                findings.expect(b"Traceback" not in output, f"p2p {command[0]} ends with a traceback")


def printed(arguments: list[str], *, on_terminal: bool) -> bytes:
    """All that a command of p2p writes, to a terminal or to a pipe."""
    reading, writing = os.openpty() if on_terminal else os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as reader:
        try:
            process = subprocess.Popen(
                [*P2P, *arguments], stdin=subprocess.DEVNULL, stdout=writing, stderr=writing, cwd=ROOT
            )
        finally:
            os.close(writing)
        output = bytearray()
        with process, contextlib.suppress(OSError):  # how a terminal says that the other side is closed
            while data := reader.read(1 << 16):
                output += data
        return bytes(output)
