"""Ready answers take bounded memory, and end with their second."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from registry.discovery.rotations.rotation import Ring
from registry.discovery.service import Service
from registry.instances.instance import Instance
from registry.lookup.plain_lookups.ready import READY_AT_MOST_BYTES, ReadyAnswers

SERVICE = cast(Service, SimpleNamespace(generation=object()))


def ring(size: int) -> Ring:
    members: Any = [Instance("s", f"w{number}", "10.0.0.1", 9000 + number) for number in range(size)]
    return Ring(1, members, 0)


def test_an_answer_is_found_by_its_turn() -> None:
    """The ring's turns come round again, and so do the answers."""
    kept = ReadyAnswers()
    ready = kept.begin(SERVICE, ring(3), 1, second=100)
    assert ready is not None
    kept.keep(ready, 7, b"answer")
    assert ready.answers == [None, b"answer", None]
    assert (ready.since_s, ready.until_s) == (100, 101)


def test_what_has_no_room_is_not_kept() -> None:
    """Beyond the bound answers are made anew, and further lookups have none ready."""
    kept = ReadyAnswers()
    ready = kept.begin(SERVICE, ring(4), 1, second=100)
    assert ready is not None
    kept.keep(ready, 0, bytes(READY_AT_MOST_BYTES - 40))
    kept.keep(ready, 1, bytes(9))
    kept.keep(ready, 2, bytes(8))
    assert [answer is not None for answer in ready.answers] == [True, False, True, False]
    assert kept.begin(SERVICE, ring(1), 1, second=100) is None


def test_the_end_of_the_second_frees_all() -> None:
    """Answers whose date has passed take no memory, whether their lookup is asked for again or not."""
    kept = ReadyAnswers()
    ready = kept.begin(SERVICE, ring(2), 1, second=100)
    assert ready is not None
    kept.keep(ready, 0, bytes(READY_AT_MOST_BYTES - 16))
    kept.end()
    assert ready.until_s == 0
    assert ready.answers == [None]
    assert kept.begin(SERVICE, ring(2), 1, second=101) is not None
