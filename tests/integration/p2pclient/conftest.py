"""What the client's tests are given: a fleet of servers, a port without one, the commands, and photos."""

from __future__ import annotations

import math
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import pytest

from p2pclient import client_core
from p2pclient.balancing import latency_outlier
from p2pclient.balancing.balancer import Balancer
from tests.support.lookups.fleet import Fleet, running_fleet


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with running_fleet() as fleet:
        yield fleet


@pytest.fixture
def even_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of the workers do not depend on how busy the machine is: none seems slow, and the dice are known."""
    monkeypatch.setattr(latency_outlier, "_LOG_SLOW", math.inf)
    monkeypatch.setattr(client_core, "Balancer", partial(Balancer, chance=random.Random(1)))


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def p2p(fleet, tmp_path):
    """Runs a command in `tmp_path` with the fleet's lookup service; further keywords go to Popen."""

    def start(*arguments, **options):
        environment = {"PATH": os.environ["PATH"], "P2P_REGISTRY": fleet.url, "PYTHONWARNINGS": "error"}
        return subprocess.Popen(
            [sys.executable, "-m", "p2pclient", *map(str, arguments)],
            cwd=tmp_path,
            env=environment | options.pop("env", {}),
            text=True,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options,
        )

    def run(*arguments, input=None, **options):
        if input is not None:
            options["stdin"] = subprocess.PIPE
        process = start(*arguments, **options)
        out, err = process.communicate(input, timeout=30)
        return process.returncode, out, err

    run.start = start
    return run


@pytest.fixture
def photos(fleet, tmp_path):
    """A folder `photos` with images in it and below it, and files that are none."""
    for name in ("photos/b.JPG", "photos/a.png", "photos/deep/c.webp", "photos/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(fleet.jpeg)
    return ["photos/a.png", "photos/b.JPG", "photos/deep/c.webp"]
