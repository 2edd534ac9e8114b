"""What the collector looks at, and what is given back."""

from __future__ import annotations

import subprocess
import sys
import weakref

from worker.system.memory import give_back


class Held:
    """Something that only a cycle holds."""

    def __init__(self) -> None:
        self.itself = self


def test_what_only_cycles_hold_is_given_back() -> None:
    """A model whose parts refer to each other is gone afterwards."""
    gone = weakref.ref(Held())
    give_back()
    assert gone() is None


def test_what_is_there_is_set_apart_once() -> None:
    """The first call leaves the collector nothing to look at; later ones would set models apart, and do not."""
    code = "import gc; from worker.system.memory import settle; settle(); one = gc.get_freeze_count(); "
    code += "kept = [[] for _ in range(1000)]; settle(); print(one > 1000, gc.get_freeze_count() - one)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    frozen, more = said.split()
    assert frozen == "True"
    assert int(more) <= 0
