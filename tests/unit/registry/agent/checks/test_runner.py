"""The decisions about checks, as tables: when a result is believed, when a service was critical for too long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.agent.checks.definitions import Repeated, TcpProbe
from registry.agent.checks.probes import status_of
from registry.agent.checks.runner import Streak, bounded, extend, first_streak, overdue
from registry.agent.state.records import Status

GOOD, WARN, BAD = Status.PASSING, Status.WARNING, Status.CRITICAL


def believed(run: Repeated, results: list[Status]) -> list[bool]:
    """Which of the results, in order, are believed."""
    streak, verdicts = first_streak(run), []
    for status in results:
        streak, verdict = extend(streak, status, run)
        verdicts.append(verdict)
    return verdicts


@pytest.mark.parametrize(
    ("successes", "failures", "results", "verdicts"),
    [
        pytest.param(0, 0, [GOOD, BAD, GOOD], [True, True, True], id="without thresholds each result counts"),
        pytest.param(0, 1, [BAD, GOOD, BAD], [True, True, True], id="a threshold of one is none"),
        pytest.param(0, 3, [GOOD, BAD, BAD, BAD], [True, False, False, True], id="the third failure in a row counts"),
        pytest.param(0, 2, [GOOD, BAD, GOOD, BAD], [True, False, True, False], id="a success begins the count anew"),
        pytest.param(2, 0, [BAD, GOOD, GOOD], [True, False, True], id="the second success in a row counts"),
        pytest.param(2, 0, [BAD, WARN, GOOD], [True, False, True], id="a warning counts as a success"),
        pytest.param(5, 5, [BAD], [True], id="the first result always counts: bad"),
        pytest.param(5, 5, [GOOD], [True], id="the first result always counts: good"),
    ],
)
def test_thresholds(successes: int, failures: int, results: list[Status], verdicts: list[bool]) -> None:
    """A result is believed when as many in a row say the same as its threshold asks."""
    run = Repeated(TcpProbe("a:1"), interval_s=1.0, successes=successes, failures=failures)
    assert believed(run, results) == verdicts


@given(st.lists(st.sampled_from(Status)), st.integers(0, 5), st.integers(0, 5))
def test_a_long_run_is_always_believed(results: list[Status], successes: int, failures: int) -> None:
    """Whatever came before, enough failures in a row are believed, and so are enough successes."""
    run = Repeated(TcpProbe("a:1"), interval_s=1.0, successes=successes, failures=failures)
    assert believed(run, results + [BAD] * max(failures, 1))[-1]
    assert believed(run, results + [GOOD] * max(successes, 1))[-1]
    assert extend(Streak(), BAD, run)[0].good == 0


@pytest.mark.parametrize(
    ("since_s", "after_s", "late"),
    [
        pytest.param({"c": 0.0}, {"c": 60.0}, {"c"}, id="critical for longer than allowed"),
        pytest.param({"c": 41.0}, {"c": 60.0}, set(), id="critical, but not for long enough"),
        pytest.param({"c": 0.0}, {}, set(), id="critical, and nothing said about removal"),
        pytest.param({}, {"c": 60.0}, set(), id="not critical"),
        pytest.param({"c": 40.0, "d": 0.0}, {"c": 60.0, "d": 99.0}, {"d"}, id="each by its own allowance"),
    ],
)
def test_reaping(since_s: dict[str, float], after_s: dict[str, float], late: set[str]) -> None:
    """At 100 s, which checks have cost their service its registration."""
    assert overdue(now_s=100.0, critical_since_s=since_s, reap_after_s=after_s) == late


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (200, GOOD),
        (204, GOOD),
        (299, GOOD),
        (429, WARN),
        (199, BAD),
        (300, BAD),
        (404, BAD),
        (500, BAD),
        (503, BAD),
    ],
)
def test_status_codes(code: int, status: Status) -> None:
    """2xx passes, 429 warns, all else is critical."""
    assert status_of(code) is status


@given(st.text(), st.integers(1, 50))
def test_notes_are_bounded(note: str, limit: int) -> None:
    """A note keeps its first bytes and says how many there were; a short one stays as it is."""
    cut = bounded(note, limit)
    if len(note.encode()) <= limit:
        assert cut == note
    else:
        kept, _, word = cut.rpartition(" ... (captured ")
        assert note.startswith(kept)
        assert word == f"{limit} of {len(note.encode())} bytes)"
