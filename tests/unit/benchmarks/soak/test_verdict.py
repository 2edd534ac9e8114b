"""Whether a process has grown: the first window after the warm-up beside the last one."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.soak.usage import Usage
from benchmarks.soak.verdict import growth


def samples(value: Callable[[float], float], *, until_s: int = 600) -> list[Usage]:
    """A sample every five seconds; `value` says by the second how much there is of everything."""
    return [
        Usage(float(at_s), value(at_s), value(at_s), int(value(at_s)), int(value(at_s)), int(value(at_s)))
        for at_s in range(5, until_s + 1, 5)
    ]


def faults(taken: list[Usage]) -> list[str]:
    return growth("it", taken, warm_s=100, window_s=100).faults()


def test_what_stays_the_same_has_no_fault() -> None:
    """Growth during the warm-up is none."""
    assert faults(samples(lambda at_s: min(at_s, 100.0))) == []


def test_a_burst_has_no_fault() -> None:
    """A version that is loaded in every minute takes memory, files and threads for a while."""
    assert faults(samples(lambda at_s: 150.0 if at_s % 60 < 20 else 100.0)) == []


def test_a_leak_of_memory_is_named() -> None:
    """A per cent a minute is above three per cent at the end."""
    taken = samples(lambda at_s: 1000 * 1.01 ** (at_s / 60))
    assert faults(taken)[0] == "it: memory is 1.069 times what it was"


def test_one_file_thread_and_task_more_are_named() -> None:
    """Their bound is none more at all."""
    taken = samples(lambda at_s: 100.0 if at_s <= 300 else 101.0)
    assert faults(taken) == [
        f"it: 100 {what} after the warm-up, 101 at the end" for what in ("files", "threads", "tasks")
    ]


def test_fewer_are_no_fault() -> None:
    """A process may give back what it has."""
    assert faults(samples(lambda at_s: 1000 - at_s)) == []
