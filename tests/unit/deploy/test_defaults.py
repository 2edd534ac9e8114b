"""What commands do unless told otherwise."""

from __future__ import annotations

import inspect
from importlib.metadata import entry_points

import pytest

from worker.advertising.loopback import is_loopback

LISTENING = [
    command
    for entry in entry_points(group="p2pclient.commands")
    if callable(command := entry.load()) and "host" in inspect.signature(command).parameters
]


def test_there_are_commands_that_listen() -> None:
    """Those that take --host are found."""
    assert {command.__name__ for command in LISTENING} >= {"registry", "proxy", "agent", "worker", "exec_"}


@pytest.mark.parametrize("command", LISTENING, ids=lambda command: command.__name__)
def test_every_command_listens_on_loopback(command) -> None:  # type: ignore[no-untyped-def]  # any command
    """Other machines reach nothing that nobody meant them to reach."""
    assert is_loopback(inspect.signature(command).parameters["host"].default)
