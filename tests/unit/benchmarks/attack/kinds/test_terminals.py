"""How an attacker reads what a command writes."""

from __future__ import annotations

import pytest

from benchmarks.attack.kinds.terminals import printed


@pytest.mark.parametrize("on_terminal", [False, True])
def test_everything_that_a_command_writes_is_read(on_terminal: bool) -> None:
    """To its end, from a pipe and from a terminal."""
    assert b"Start everything on this machine" in printed(["--help"], on_terminal=on_terminal)
