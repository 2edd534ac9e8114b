"""Ready answers take bounded memory, and end with their second."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from registry.discovery.rotations.rotation import Ring
from registry.discovery.service import Service
from registry.instances.instance import Instance
from registry.lookup.plain_lookups.ready import READY_AT_MOST_BYTES, Ready, ReadyAnswers

SERVICE = cast(Service, SimpleNamespace(generation=object()))


def ring(size: int) -> Ring:
    members: Any = [Instance("s", f"w{number}", "10.0.0.1", 9000 + number) for number in range(size)]
    return Ring(1, members, 0)


def begun(kept: ReadyAnswers, size: int, *, second: int = 100) -> Ready:
    """Ready answers over a ring of so many members, whose first turn in this second is the seventh."""
    return kept.begin(SERVICE, ring(size), 7, 1, second=second)


def test_an_answer_is_found_by_its_turn_once_the_ring_has_come_round() -> None:
    """The first answer of each member is not kept: it may be the only one of the second."""
    kept = ReadyAnswers()
    ready = begun(kept, 3)
    for turn in range(7, 12):
        kept.keep(ready, turn, b"answer %d" % turn)
        assert (len(ready.answers) == 3) == (turn >= 10)
    assert ready.answers == [None, b"answer 10", b"answer 11"]
    assert (ready.since_s, ready.until_s) == (100, 101)


def test_what_has_no_room_is_not_kept() -> None:
    """Beyond the bound answers are made anew."""
    kept = ReadyAnswers()
    ready = begun(kept, 4)
    kept.keep(ready, 12, bytes(READY_AT_MOST_BYTES - 40))
    kept.keep(ready, 13, bytes(9))
    kept.keep(ready, 14, bytes(8))
    assert [answer is not None for answer in ready.answers] == [True, False, True, False]
    other = begun(kept, 2)
    kept.keep(other, 10, b"answer")
    assert other.answers == [None]


def test_the_end_of_the_second_frees_all() -> None:
    """Answers whose date has passed take no memory, whether their lookup is asked for again or not."""
    kept = ReadyAnswers()
    ready = begun(kept, 2)
    kept.keep(ready, 10, bytes(READY_AT_MOST_BYTES - 16))
    kept.end()
    assert (ready.until_s, ready.answers) == (0, [None])
    later = begun(kept, 2, second=101)
    kept.keep(later, 10, b"answer")
    assert later.answers == [b"answer", None]
