"""A machine that runs nothing of a fleet, and predicts all the while; what its predictions came to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.machines.machine import Machine

PROGRAM = Path(__file__).parent / "predictor_program.py"
WAYS = ("p2pclient", "curl", "307")

_OUTPUT = "/var/log/predictions.jsonl"
_PYTHON = "/srv/client/bin/python"


@dataclass(frozen=True, slots=True)
class Tried:
    """One prediction; `failed` is the complaint, "" where labels came."""

    way: str
    from_s: float
    until_s: float
    failed: str


class ClientMachine:
    """The machine, which sees the wheels in /srv/wheels. All calls block."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def install(self, authority: Path, token: str, picture: Path) -> None:
        """Install p2pclient, and put there what a client needs."""
        self.machine.run("python3", "-m", "venv", "/srv/client")
        pip = ("/srv/client/bin/pip", "install", "--quiet", "--no-index", "--find-links", "/srv/wheels")
        self.machine.run(*pip, "p2p-serving-client[cli]")
        self.machine.put(PROGRAM, "/srv/client/predictor_program.py")
        self.machine.put(authority, "/srv/client/ca.pem")
        self.machine.put(picture, "/srv/client/picture.jpg")
        self.machine.write("/srv/client/token.txt", f"Authorization: Bearer {token}\n")

    def start(self, lookup: str) -> None:
        """Predict from now on, by this lookup service."""
        files = ("ca.pem", "token.txt", "picture.jpg")
        arguments = (lookup, *(f"/srv/client/{name}" for name in files), _OUTPUT)
        program = (_PYTHON, "/srv/client/predictor_program.py", *arguments)
        self.machine.run("touch", _OUTPUT)
        self.machine.run("systemd-run", "--quiet", "--unit", "predictor", *program)

    def stop(self) -> None:
        """Predict no more."""
        self.machine.run("systemctl", "stop", "predictor")

    def tried(self, *, since_s: float = 0.0) -> Sequence[Tried]:
        """The predictions that ended after a moment of the monotonic clock, as they ended."""
        lines = (json.loads(line) for line in self.machine.run("cat", _OUTPUT).splitlines())
        return [Tried(**line) for line in lines if line["until_s"] >= since_s]
