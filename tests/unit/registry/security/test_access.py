"""Access: who a request comes from, and what its caller may do."""

from __future__ import annotations

import pytest

from registry.security.access import (
    AccessDenied,
    bearer_token,
    caller_of,
    check_role,
    check_service,
    may_use,
)
from registry.security.caller import ANONYMOUS, Caller, Role
from registry.security.tokens.token_file import parse_tokens

TOKENS = parse_tokens('[alice]\ntoken = "right"')


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer right", "right"),
        ("bearer  right ", "right"),
        ("BEARER right", "right"),
        ("Basic cmlnaHQ=", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("right", None),
        ("", None),
        (None, None),
    ],
)
def test_a_bearer_token_is_read_from_its_header(header, token):
    """The scheme may be in any case (RFC 9110, 11.1); any other scheme carries no token for us."""
    assert bearer_token(header) == token


def test_a_port_without_tokens_answers_everybody():
    """Without a token file a wrong header matters as little as none."""
    assert caller_of(None, None) is caller_of(None, "Bearer anything") is ANONYMOUS


@pytest.mark.parametrize("header", [None, "", "Basic cmlnaHQ=", "Bearer wrong", "Bearer rightly"])
def test_without_the_right_token_nobody_is_let_in(header):
    """No token and a wrong one are both 401, with the challenge, and without what was sent."""
    with pytest.raises(AccessDenied) as denied:
        caller_of(TOKENS, header)
    assert (denied.value.status, denied.value.challenge) == (401, 'Bearer realm="p2p"')
    assert "wrong" not in str(denied.value)


def test_the_right_token_names_its_caller():
    """The caller is the one of the table."""
    assert caller_of(TOKENS, "Bearer right").name == "alice"


def test_an_operator_may_do_all_that_a_client_may():
    """A client may not do what takes an operator; the other way round is no question."""
    client, operator = (Caller(role, frozenset({role})) for role in (Role.CLIENT, Role.OPERATOR))
    check_role(client, Role.CLIENT)
    check_role(operator, Role.CLIENT)
    check_role(operator, Role.OPERATOR)
    with pytest.raises(AccessDenied, match="it takes one with the role operator") as denied:
        check_role(client, Role.OPERATOR)
    assert (denied.value.status, denied.value.challenge) == (403, None)


def test_a_caller_uses_only_its_services():
    """Services that are not listed are refused; without a list all may be used."""
    alice = Caller("alice", frozenset({Role.CLIENT}), frozenset({"cats"}))
    check_service(alice, "cats")
    check_service(ANONYMOUS, "dogs")
    assert (may_use(alice, "cats"), may_use(alice, "dogs")) == (True, False)
    with pytest.raises(AccessDenied, match="The token of alice is not for the service 'dogs'") as denied:
        check_service(alice, "dogs")
    assert denied.value.status == 403
