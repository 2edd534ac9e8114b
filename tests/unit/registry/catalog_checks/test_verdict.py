"""What a worker's findings mean, without any clock or network."""

from __future__ import annotations

from itertools import pairwise

import pytest

from registry.catalog_checks.verdict import (
    REMOVE_AFTER_S,
    REMOVE_UNREACHED_AFTER_S,
    Finding,
    Standing,
    is_to_be_removed,
    next_standing,
    status_of,
)
from registry.instances.instance import Health

FAILING = [Finding.ANSWERED, Finding.REFUSED, Finding.NO_ANSWER]


def after(*findings: Finding, every_s: float = 2.0) -> Standing:
    standing = Standing()
    for number, finding in enumerate(findings):
        standing = next_standing(standing, finding, now_s=number * every_s)
    return standing


@pytest.mark.parametrize("finding", FAILING)
@pytest.mark.parametrize("known", [Health.PASSING, Health.WARNING, Health.CRITICAL])
def test_one_failure_changes_nothing(finding: Finding, known: Health) -> None:
    """A worker that misses one check keeps its status, whatever that is; the second failure in a row counts."""
    assert status_of(after(finding), known) is known
    assert status_of(after(finding, finding), known) is Health.CRITICAL


@pytest.mark.parametrize("finding", FAILING)
def test_one_success_is_enough(finding: Finding) -> None:
    """A worker that answers again passes at once, and its failures are forgotten."""
    back = after(finding, finding, finding, Finding.PASSING)
    assert status_of(back, Health.CRITICAL) is Health.PASSING
    assert back.failures == 0
    assert status_of(after(finding, Finding.WARNING), Health.PASSING) is Health.WARNING


@pytest.mark.parametrize("finding", FAILING)
def test_it_is_removed_in_time(finding: Finding) -> None:
    """A worker that fails is removed when it has failed for a minute, not before."""
    standing = after(finding, finding)
    assert not is_to_be_removed(standing, drained=False, most_unreached=False, now_s=REMOVE_AFTER_S - 1)
    assert is_to_be_removed(standing, drained=False, most_unreached=False, now_s=REMOVE_AFTER_S)


def test_a_cut_off_checker_removes_nobody_soon() -> None:
    """While most workers give no answer, one that gives none stays for ten minutes: the fault may be the checker's."""
    standing = after(Finding.NO_ANSWER, Finding.NO_ANSWER)
    assert not is_to_be_removed(standing, drained=False, most_unreached=True, now_s=REMOVE_UNREACHED_AFTER_S - 1)
    assert is_to_be_removed(standing, drained=False, most_unreached=True, now_s=REMOVE_UNREACHED_AFTER_S)


@pytest.mark.parametrize("finding", [Finding.REFUSED, Finding.ANSWERED])
def test_an_answer_is_proof(finding: Finding) -> None:
    """A port that refuses, or at which another process answers, proves that the worker is gone: the rule stays."""
    assert is_to_be_removed(after(finding, finding), drained=False, most_unreached=True, now_s=REMOVE_AFTER_S)


def test_a_healthy_worker_stays() -> None:
    """A worker that passes, or has failed once only, is never removed."""
    for findings in ([], [Finding.PASSING], [Finding.WARNING], [Finding.REFUSED]):
        assert not is_to_be_removed(after(*findings), drained=False, most_unreached=False, now_s=1e6)


@pytest.mark.parametrize("finding", FAILING)
def test_a_drained_worker_stays(finding: Finding) -> None:
    """A worker that an operator has drained is not removed, however long it fails: its drain would go with it."""
    assert not is_to_be_removed(after(finding, finding), drained=True, most_unreached=False, now_s=1e6)


def test_failures_count_from_the_first() -> None:
    """The time of failing begins with the first failure of the row, and failures only grow until a success."""
    standings = [after(*[Finding.REFUSED] * number) for number in range(1, 5)]
    assert {standing.failing_since_s for standing in standings} == {0.0}
    assert all(later.failures == earlier.failures + 1 for earlier, later in pairwise(standings))
