"""Who may ask for the metrics of a worker that requires tickets; tests/integration has all that goes over HTTP."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from registry.security.tickets.ticket_check import TicketCheck
from worker.errors import Forbidden
from worker.web.access.ticket_gate import TicketGate

GATE = TicketGate(TicketCheck(), service="echo", services=["echo"], instance_ids=[])


def metrics_asked_by(remote: str | None) -> Any:
    return SimpleNamespace(path="/metrics", remote=remote, query={}, headers={}, match_info={}, content_length=None)


@pytest.mark.parametrize("remote", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_this_machine_may_ask_for_metrics(remote: str) -> None:
    GATE.admit(metrics_asked_by(remote))


@pytest.mark.parametrize("remote", ["10.0.0.5", "::", "fe80::1", "::ffff:10.0.0.5", "", None, "unix"])
def test_nobody_else_may(remote: str | None) -> None:
    with pytest.raises(Forbidden, match="on its own machine only"):
        GATE.admit(metrics_asked_by(remote))
