"""The addresses that the callers use, and the names of the services."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

IMAGES, TENSORS = "classify", "similar"
"""The services: a classifier of images, and a Python model of tensors."""

WIDTH = 8
"""How many numbers a row of each input of TENSORS has."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Ports of the lookup service on 127.0.0.1."""

    lookup: int
    dns: int

    @property
    def lookup_url(self) -> str:
        """The URL of the lookup service."""
        return f"http://127.0.0.1:{self.lookup}"

    def to_json(self) -> str:
        """As one argument of a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Targets:
        """The reverse of `to_json`."""
        return cls(**json.loads(text))
