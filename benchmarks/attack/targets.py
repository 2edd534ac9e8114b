"""What an attack is given, and what it tells: the addresses of a deployment, and what came of its requests."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

SERVICE = "classify"
"""The service of the workers that the callers use."""

CROWD = "crowd"
"""A service of CROWD_INSTANCES instances without a process behind them, and without checks."""

CROWD_INSTANCES = 1000


@dataclass(frozen=True, slots=True)
class Targets:
    """A deployment as an attacker knows it: ports on this machine.

    agent:   of the embedded Consul agent
    relay:   between the agent and those who ask it, the lookup service and the clients of `consul://`
    workers: of the workers that serve
    leaving: process ids of workers that the attack may end
    attacker: which of the attackers of its kind is told this, from 0
    """

    agent: int
    relay: int
    lookup: int
    dns: int
    proxy: int
    workers: tuple[int, ...]
    leaving: tuple[int, ...] = ()
    attacker: int = 0

    def to_json(self) -> str:
        """One line, which `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Targets:
        """The deployment that `to_json` wrote."""
        read: dict[str, Any] = json.loads(line)
        values: dict[str, Any] = {name: tuple(it) if isinstance(it, list) else it for name, it in read.items()}
        return cls(**values)


@dataclass(slots=True)
class Findings:
    """What an attacker has seen.

    outcomes: how often each thing came of a request: a status, an error
    wrong:    sentences about answers that should have been others, whatever the callers noticed
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def expect(self, holds: bool, sentence: str) -> None:
        """Note the sentence if something does not hold, once."""
        if not holds and sentence not in self.wrong:
            self.wrong.append(sentence)
