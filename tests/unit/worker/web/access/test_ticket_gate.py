"""Who may ask for the metrics of a worker that requires tickets, and which tickets are remembered.

tests/integration has all that goes over HTTP.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from registry.security.access_control import AccessControl
from registry.security.caller import Quota
from registry.security.permission import Permission
from registry.security.tickets.ticket import Limits, Ticket, sign
from registry.security.tickets.ticket_check import KEPT_AT_MOST, TicketCheck
from tests.support.plain_post import PlainPost, with_header, with_query
from worker.errors import Forbidden, Unauthorized, WorkerError, WrongWorker
from worker.web.access.port_access import PortAccess
from worker.web.access.ticket_gate import TicketGate

GATE = TicketGate(TicketCheck(), service="echo", services=["echo"], instance_ids=[])
KEY, STRANGER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


def metrics_asked_by(remote: str | None) -> Any:
    return SimpleNamespace(path="/metrics", remote=remote, query={}, headers={}, match_info={}, content_length=None)


@pytest.mark.parametrize("remote", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_this_machine_may_ask_for_metrics(remote: str) -> None:
    GATE.admit(metrics_asked_by(remote))


@pytest.mark.parametrize("remote", ["10.0.0.5", "::", "fe80::1", "::ffff:10.0.0.5", "", None, "unix"])
def test_nobody_else_may(remote: str | None) -> None:
    with pytest.raises(Forbidden, match="on its own machine only"):
        GATE.admit(metrics_asked_by(remote))


def text_of(key: Ed25519PrivateKey = KEY, **changes: Any) -> str:
    fields: dict[str, Any] = {"caller": "alice", "service": "echo", "issued_s": 1_000, "expires_s": 1_060} | changes
    return sign(Ticket(**fields), key, "k1")


class Port:
    """A port for `echo` that knows the key k1, at a time that the test sets."""

    def __init__(self) -> None:
        self.now_s = 1_010.0
        self.instance_ids = {"echo-1"}
        self.check = TicketCheck()
        self.check.use_keys({"k1": KEY.public_key()})
        self.gate = TicketGate(
            self.check,
            service="echo",
            services=["echo", "cats"],
            instance_ids=self.instance_ids,
            clock=lambda: self.now_s,
        )
        self.access = PortAccess(AccessControl(), service="echo", tickets=self.gate)

    def says(self, request: PlainPost) -> Permission | tuple[type[WorkerError], str]:
        """What permits the request, or the error that it gets."""
        try:
            return self.access.admit(request)
        except WorkerError as error:
            return type(error), str(error)


def test_a_ticket_without_limits_is_remembered_by_its_header() -> None:
    port = Port()
    assert port.gate.known(with_header(text_of())) is None
    assert port.says(with_header(text_of())) == Permission("alice")
    assert port.gate.known(with_header(text_of())) == Permission("alice")


@pytest.mark.parametrize(
    "changes", [{"limits": Limits(max_body_bytes=50_000)}, {"quota": Quota(rate_hz=5.0)}, {"service": "cats"}]
)
def test_a_ticket_of_which_more_has_to_be_checked_is_not(changes: dict[str, Any]) -> None:
    port = Port()
    port.says(with_header(text_of(**changes)))
    assert port.gate.known(with_header(text_of(**changes))) is None


def test_a_remembered_ticket_is_refused_outside_its_time() -> None:
    port = Port()
    port.says(with_header(text_of()))
    for now_s, admitted in ((970.0, True), (969.9, False), (1_089.9, True), (1_090.0, False)):
        port.now_s = now_s
        assert isinstance(port.says(with_header(text_of())), Permission) is admitted


def test_a_remembered_ticket_is_refused_when_its_key_is_revoked() -> None:
    port = Port()
    port.says(with_header(text_of()))
    port.check.use_keys({"k1": STRANGER.public_key()})
    assert port.gate.known(with_header(text_of())) is None
    with pytest.raises(Unauthorized, match="signature is wrong"):
        port.access.admit(with_header(text_of()))


def test_a_remembered_ticket_is_refused_when_the_worker_is_another_one() -> None:
    port = Port()
    for_one = text_of(instance_id="echo-1")
    port.says(with_header(for_one))
    port.instance_ids.clear()
    with pytest.raises(WrongWorker):
        port.access.admit(with_header(for_one))


def test_a_remembered_header_says_nothing_of_the_query_and_of_other_paths() -> None:
    """The ticket in the query comes first, and a path with a model asks for that model's service."""
    port, good, forged = Port(), text_of(), text_of(STRANGER)
    port.says(with_header(good))
    for request in (
        with_header(good, query={"ticket": forged}),
        with_header(good, path="/v1/models/cats", match_info={"name": "cats"}),
        with_query(f"Bearer {good}"),
        PlainPost(headers={"Authorization": good}),
    ):
        assert not isinstance(port.says(request), Permission)


def test_what_is_remembered_has_a_bound() -> None:
    """Room for a new ticket is made by forgetting all, which costs each of them one more check."""
    port = Port()
    port.says(with_header(text_of()))
    for number in range(KEPT_AT_MOST):
        port.gate._remember(f"Bearer {number}", Ticket("alice", "echo", 1_000, 1_060))
    assert len(port.gate._known) <= KEPT_AT_MOST
    assert port.says(with_header(text_of())) == Permission("alice")


TEXTS = [
    text_of(), text_of(STRANGER), text_of(caller="bob"), text_of(service="cats"), text_of(service="dogs"),
    text_of(instance_id="echo-1"), text_of(instance_id="echo-2"), text_of(issued_s=1_020, expires_s=1_040),
    text_of(limits=Limits(max_body_bytes=100)), text_of(limits=Limits(deadline_s=2.0)), "nonsense", "",
]  # fmt: skip
REQUESTS = st.builds(
    lambda text, way, path: way(text, path=path, match_info={"name": "cats"} if "cats" in path else {}),
    st.sampled_from(TEXTS),
    st.sampled_from([with_header, with_query]),
    st.sampled_from(["/", "/v1/models/cats", "/v2"]),
)


@given(st.lists(st.tuples(REQUESTS, st.sampled_from([960.0, 980.0, 1_010.0, 1_065.0, 1_080.0, 1_100.0])), max_size=8))
def test_what_came_before_changes_no_verdict(asked: list[tuple[PlainPost, float]]) -> None:
    """A port that has seen other requests says of each one what a new port says."""
    port = Port()
    for request, now_s in asked:
        fresh = Port()
        fresh.now_s = port.now_s = now_s
        assert port.says(request) == fresh.says(request)
