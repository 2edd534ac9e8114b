"""What a process tells systemd, and when it tells it nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid
from pathlib import Path

import pytest

from registry.runtime.processes.sd_notify import SystemdNotifier, without_systemd
from tests.support.servers.systemd_socket import systemd_socket
from tests.support.waiting import until


def test_it_tells_systemd_of_the_start_and_the_end(tmp_path: Path) -> None:
    with systemd_socket(tmp_path) as systemd:
        notifier = SystemdNotifier.from_environment({"NOTIFY_SOCKET": systemd.address})
        notifier.ready()
        notifier.stopping()
        assert systemd.messages == ["READY=1", "STOPPING=1"]


def test_a_socket_without_a_file_is_found() -> None:
    """Addresses that begin with @ are in the abstract namespace."""
    name = f"p2p-{uuid.uuid4().hex}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}")
        receiver.settimeout(5)
        SystemdNotifier(f"@{name}").ready()
        assert receiver.recv(100) == b"READY=1"


def test_without_systemd_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    SystemdNotifier.from_environment({}).ready()
    assert not caplog.records


def test_a_systemd_that_is_gone_disturbs_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The process goes on; the log says what systemd does not know."""
    with caplog.at_level(logging.WARNING):
        SystemdNotifier(str(tmp_path / "nothing")).ready()
    assert caplog.messages == ["systemd was not told READY=1: No such file or directory."]


async def test_the_watchdog_is_fed_while_the_work_moves(tmp_path: Path) -> None:
    """It is fed again and again, not while nothing moves, and again when something does."""
    moving = True
    with systemd_socket(tmp_path) as systemd:
        notifier = SystemdNotifier(systemd.address, watchdog_s=0.06)
        feeding = asyncio.create_task(notifier.feed_watchdog(lambda: moving))
        await until(lambda: len(systemd.messages) >= 3)
        moving = False
        asked = asyncio.get_running_loop().time()
        before = len(systemd.messages)
        await until(lambda: asyncio.get_running_loop().time() > asked + 0.2)
        assert len(systemd.messages) == before
        moving = True
        await until(lambda: len(systemd.messages) > before)
        assert set(systemd.messages) == {"WATCHDOG=1"}
        feeding.cancel()


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_only_a_watchdog_of_this_process_is_fed(environ: dict[str, str], watchdog_s: float | None) -> None:
    assert SystemdNotifier.from_environment(environ).watchdog_s == watchdog_s


async def test_without_a_watchdog_feeding_ends_at_once(tmp_path: Path) -> None:
    with systemd_socket(tmp_path) as systemd:
        await SystemdNotifier(systemd.address).feed_watchdog()
        assert systemd.messages == []


def test_children_do_not_speak_to_systemd() -> None:
    given = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "HOME": "/root"}
    assert without_systemd(given) == {"HOME": "/root"}
