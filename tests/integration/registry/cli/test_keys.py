"""`p2p keys` as a command: what it prints, and one sentence with exit code 1 for what cannot be done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.consul_process import ConsulProcess


@pytest.fixture
def keys(shared_consul: ConsulProcess):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("P2P_", "CONSUL_"))}

    def run(*arguments: str, **environ: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "p2pclient", "keys", *arguments],
            env=clean | {"CONSUL_HTTP_ADDR": shared_consul.url} | environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout, done.stderr

    return run


def test_keys_are_made_listed_and_revoked(keys, tmp_path: Path) -> None:
    folder = str(tmp_path / "keys")
    code, printed, _ = keys("list")
    assert (code, printed[:26]) == (0, "Consul holds no ticket key")
    code, printed, _ = keys("rotate", "--ticket-keys", folder)
    assert code == 0
    assert "it signs as soon as p2p registry runs with this folder" in printed
    first = printed.split()[2]
    code, printed, _ = keys("rotate", P2P_TICKET_KEYS=folder)
    assert f"it signs in 5 s, in place of {first}" in printed
    code, printed, _ = keys("list", "--ticket-keys", folder)
    assert [line.split()[1:3] for line in printed.splitlines()[1:]] == [["*", "valid"]] * 2
    code, printed, _ = keys("revoke", first)
    assert (code, printed.split(":")[0]) == (0, f"The key {first} is revoked")
    code, printed, _ = keys("list")
    assert sorted(line.split()[1] for line in printed.splitlines()[1:]) == ["revoked", "valid"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["rotate"], "error: rotate makes a key in the folder of p2p registry: name it with --ticket-keys.\n"),
        (["revoke"], "error: revoke takes the id of a key, and nothing else does: p2p keys list shows the ids.\n"),
        (["list", "abc"], "error: revoke takes the id of a key, and nothing else does: p2p keys list shows the ids.\n"),
        (["revoke", "abc"], "error: Consul holds no ticket key 'abc': p2p keys list shows those that it holds.\n"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(keys, arguments: list[str], sentence: str) -> None:
    assert keys(*arguments) == (1, "", sentence)


def test_a_consul_that_is_away_is_one_sentence(keys) -> None:
    code, printed, error = keys("list", "--consul", "http://127.0.0.1:9")
    assert (code, printed) == (1, "")
    assert error.startswith("error: Consul at http://127.0.0.1:9 did not answer")
