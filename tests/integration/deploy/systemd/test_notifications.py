"""The commands that units start tell systemd when they serve, that they work, and that they stop."""

from __future__ import annotations

import signal
from pathlib import Path

import aiohttp
import pytest

from tests.support.command_process import command, free_port
from tests.support.consul_process import ConsulProcess
from tests.support.servers.systemd_socket import systemd_socket
from tests.support.waiting import until


@pytest.mark.parametrize("arguments", [("registry",), ("registry", "--processes", "2"), ("worker", "--engine", "echo")])
async def test_systemd_is_told(shared_consul: ConsulProcess, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """READY comes first and once, when the port answers; then the watchdog is fed; STOPPING comes with the signal."""
    port = free_port()
    state = ("--state", "") if arguments[0] == "registry" else ()
    with systemd_socket(tmp_path) as systemd:
        environ = {"CONSUL_HTTP_ADDR": shared_consul.url, **systemd.environ(watchdog_s=0.3)}
        async with command(*arguments, *state, "--port", str(port), environ=environ) as running:
            await until(lambda: "READY=1" in systemd.messages, within_s=60)
            async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/healthz") as answer:
                assert answer.status == 200
            await until(lambda: systemd.messages.count("WATCHDOG=1") >= 3)
            running.send(signal.SIGTERM)
            assert await running.ended() == 0
        assert systemd.messages[0] == "READY=1"
        assert systemd.messages.count("READY=1") == 1
        assert systemd.messages[-1] == "STOPPING=1"
