"""State files that are damaged, and numbers that no program expects."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.attack.kinds.lying_servers import LyingServer, lying_server
from benchmarks.attack.kinds.sending import HOST
from benchmarks.attack.targets import SERVICE, Findings, Targets
from benchmarks.harness.p2p import P2P, ROOT
from benchmarks.harness.processes import free_port, get, server
from p2pclient import AsyncClient, P2PError
from tests.support.photos import chelsea_jpeg

INDEXES = ("1e400", "-1e400", "NaN", "Infinity", "5.5", '"5"', "null", "-1", "9" * 400)
WORKERS: tuple[Mapping[str, object], ...] = (
    {"port": 70_000},
    {"port": -1},
    {"weight": float("inf")},
    {"weight": 2**1000},
    {"host": "a b"},
    {"host": "127.0.0.1\r\nX-Evil: 1"},
    {"boot": "b\r\nX-Evil: 1"},
)

_STARTED_WITHIN_S = 60.0
_TIMEOUT_S = 2.0


async def tell_odd_numbers(targets: Targets, findings: Findings) -> None:
    """Give a client such lookups, and lookup services such state files, each of them once."""
    async with lying_server() as server:
        for index in INDEXES:
            server.index = index
            await _classify(server, findings, f"index {index[:9]}")
        server.index = "5"
        for fields in WORKERS:
            server.worker = fields
            await _classify(server, findings, f"worker {fields!r:.40}")
    await asyncio.to_thread(_start_lookup_services, targets, findings)


async def _classify(server: LyingServer, findings: Findings, what: str) -> None:
    """Make a call that may fail, but only as the client says that calls fail."""
    url = f"http://127.0.0.1:{server.port}"
    for routing in ("watch", "lookup"):
        try:
            async with AsyncClient(
                url, routing="watch" if routing == "watch" else "lookup", timeout_s=_TIMEOUT_S
            ) as client:
                await client.classify(chelsea_jpeg())
                findings.outcomes["classified"] += 1
        except P2PError as error:
            findings.outcomes[type(error).__name__] += 1
        except Exception as error:
            findings.expect(False, f"{what}: {type(error).__name__} came out of p2pclient")


def state_files(targets: Targets) -> Mapping[str, str]:
    """The content of each file, by what is wrong with it."""
    return {
        "nested 100,000 deep": "[" * 100_000,
        "cut short": state(targets)[:100],
        "not text": "\0\x01",
        "weight Infinity": state(targets, instance={"weight": float("inf")}),
        "weight 2^60": state(targets, instance={"weight": 1 << 60}),
        "confirmed at NaN": state(targets, confirmed_at=float("nan")),
        "confirmed in an hour": state(targets, confirmed_at=time.time() + 3600),
        "index Infinity": state(targets, index=float("inf")),
        "an address with a line end": state(targets, instance={"host": "a\r\nb"}),
    }


def state(targets: Targets, *, instance: Mapping[str, object] | None = None, **fields: object) -> str:
    """A state file of one worker, with other values for these fields of its entry, and of the instance in it."""
    worker: dict[str, Any] = {"service": SERVICE, "id": "w", "host": HOST, "port": 9, "weight": 1, "version": "1"}
    worker |= {"tags": ["p2p"], "boot": "b", "health": "passing", "meta": {}, **(instance or {})}
    entry: dict[str, Any] = {"service": SERVICE, "index": 5, "confirmed_at": time.time(), "proven": ["w"]}
    entry |= {"instances": [worker], **fields}
    return json.dumps({"format": 2, "consul": f"http://{HOST}:{targets.relay}", "services": [entry]})


def _start_lookup_services(targets: Targets, findings: Findings) -> None:
    """A lookup service that finds such a file must start, name a worker, and log no programming error."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in state_files(targets).items():
            path, log, port = Path(folder, "state.json"), Path(folder, "log"), free_port()
            path.write_text(content)
            flags = ("--port", str(port), "--consul", f"http://{HOST}:{targets.relay}", "--state", str(path))
            with server([*P2P, "registry", *flags], core=None, folder=ROOT, log=log) as process:
                try:
                    get(f"http://{HOST}:{port}/next", within_s=_STARTED_WITHIN_S, process=process)
                    findings.outcomes["state files borne"] += 1
                except OSError as error:
                    findings.expect(False, f"state file, {name}: no lookup is answered ({error})")
            findings.expect("Traceback" not in log.read_text(), f"state file, {name}: a traceback in the log")
            log.unlink()
