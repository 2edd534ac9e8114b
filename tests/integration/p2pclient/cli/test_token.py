"""The token of the commands: from P2P_TOKEN or a file, never from a flag's value, and what happens to a wrong one."""

from __future__ import annotations

import time

import pytest
from aiohttp import web

COMMANDS = [("classify", "photos/a.png"), ("classify", "photos"), ("lookup",), ("status",)]


FORMS = ["s3cret\n", "Authorization: Bearer s3cret\n", "authorization:bearer s3cret"]


@pytest.mark.parametrize(
    ("arguments", "content"),
    [(COMMANDS[2], form) for form in FORMS] + [(command, "s3cret") for command in COMMANDS if command[0] != "lookup"],
)
def test_a_token_comes_from_a_file(p2p, fleet, photos, tmp_path, arguments, content):
    """The file holds the token, or the header as `curl -H @FILE` takes it; the file is used in place of P2P_TOKEN."""
    fleet.add()
    (tmp_path / "token.txt").write_text(content)
    code, _, err = p2p(*arguments, "--token-file", "token.txt", env={"P2P_TOKEN": "another"})
    assert (code, err) == (0, "")
    assert fleet.lookup.authorizations == {"Bearer s3cret"}


def test_the_file_may_be_named_in_the_environment(p2p, fleet, tmp_path):
    """P2P_TOKEN_FILE is --token-file."""
    fleet.add()
    (tmp_path / "token.txt").write_text("s3cret")
    assert p2p("lookup", env={"P2P_TOKEN_FILE": "token.txt"})[0] == 0
    assert fleet.lookup.authorizations == {"Bearer s3cret"}


@pytest.mark.parametrize("content", ["", "two words", "s3cret\nand more", "Authorization: Basic czNjcmV0"])
def test_a_file_without_a_token_is_wrong_usage(p2p, tmp_path, content):
    """The sentence says what to write, and shows nothing of what the file holds."""
    (tmp_path / "token.txt").write_text(content)
    code, out, err = p2p("lookup", "--token-file", "token.txt")
    assert (code, out) == (2, "")
    assert "--token-file token.txt: it holds no token" in " ".join(err.split())
    assert not content or content.split()[-1] not in err


def test_a_missing_file_is_wrong_usage(p2p):
    """Its name is told."""
    code, _, err = p2p("lookup", "--token-file", "none.txt")
    assert (code, "none.txt: No such file or directory" in err) == (2, True)


@pytest.mark.parametrize("arguments", COMMANDS)
def test_no_command_takes_a_token_as_a_flag(p2p, photos, arguments):
    """`ps` shows flags to everybody."""
    code, _, err = p2p(*arguments, "--token", "s3cret")
    assert code == 2
    assert "s3cret" not in err


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_wrong_token_is_told_at_once(p2p, fleet, photos, arguments):
    """One sentence and exit code 1, without waiting for the deadline; the token is not shown."""
    fleet.add()
    fleet.lookup.replace = fleet.says("This token is not known here.", status=401)
    code, _, err = p2p(*arguments, "--timeout", "60", env={"P2P_TOKEN": "wr0ng"})
    assert code == 1
    assert "refused (401 This token is not known here.): give a token that it accepts" in err
    assert "wr0ng" not in err


@pytest.mark.parametrize("arguments", [COMMANDS[0], COMMANDS[2]])
def test_a_caller_above_its_quota_waits_as_told(p2p, fleet, photos, arguments):
    """A 429 of the lookup service is asked again after its Retry-After, within the time of the command."""
    fleet.add()
    asked_s = []

    async def over_quota(*_):
        asked_s.append(time.monotonic())
        if len(asked_s) == 2:
            fleet.lookup.replace = None
        return web.Response(status=429, text="alice has used its quota.", headers={"Retry-After": "1"})

    fleet.lookup.replace = over_quota
    code, _, err = p2p(*arguments)
    assert (code, err) == (0, "")
    assert asked_s[1] - asked_s[0] >= 0.99
