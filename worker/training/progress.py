"""The interface through which a training tells how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Shows stages one after the other, each with a number of steps."""

    def say(self, line: str) -> None:
        """Show a line that stays."""
        ...

    def stage(self, name: str, steps: int) -> None:
        """Begin a stage of so many steps; the one before it is done."""
        ...

    def advance(self, steps: int = 1) -> None:
        """Count steps of the stage as done."""
        ...
