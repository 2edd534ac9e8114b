"""The table of beliefs: what Consul said, and what is held to be true after it."""

from __future__ import annotations

import pytest

from registry.consul.instance import Health, Instance, Snapshot
from registry.discovery.reconcile import GRACE_S, Answer, Belief, doubt, judge, next_index


def worker(name: str, health: Health = Health.PASSING) -> Instance:
    return Instance("classify", name, "127.0.0.1", 9000 + len(name), health=health)


A, B, C = worker("a"), worker("bb"), worker("ccc")


def believed(*answers: Answer, now_s: float = 0.0) -> Belief:
    belief = Belief(Snapshot("classify"))
    for answer in answers:
        belief = judge(belief, answer, now_s=now_s)
    return belief


def ids(belief: Belief) -> set[str]:
    return {i.id for i in belief.snapshot.instances}


def eligible(belief: Belief) -> set[str]:
    return {i.id for i in belief.eligible}


def test_the_first_answer_is_believed() -> None:
    """What Consul says first is taken, and its index carried by the next question."""
    belief = believed(Answer(7, (A, B)))
    assert (ids(belief), belief.index, belief.known) == ({"a", "bb"}, 7, True)


def test_an_empty_first_answer_is_believed() -> None:
    """A service that never had workers has none."""
    assert believed(Answer(7, ())).known


def test_one_of_several_leaves_at_once() -> None:
    """A worker that disappears from a sound answer with others in it is let go."""
    assert ids(believed(Answer(7, (A, B)), Answer(8, (A,)))) == {"a"}


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("a lower index: the agent lost its data", Answer(3, (A,))),
        ("no leader", Answer(8, (A,), known_leader=False)),
        ("nobody left and no goodbye", Answer(8, ())),
    ],
)
def test_a_suspicious_disappearance_is_held(what: str, answer: Answer) -> None:
    """Who disappears in a suspicious answer is held for the grace, and eligible all the while."""
    belief = believed(Answer(7, (A, B)), answer)
    assert ids(belief) == {"a", "bb"}, what
    assert eligible(belief) == {"a", "bb"}
    assert belief.suspect_until_s == GRACE_S


def test_a_held_worker_that_registers_again_ends_the_suspicion() -> None:
    """When all that were missing are back, nothing is suspect any more."""
    belief = believed(Answer(7, (A, B)), Answer(3, ()), Answer(5, (A, B)))
    assert belief.suspect_until_s is None
    assert ids(belief) == {"a", "bb"}


def test_one_of_two_back_still_holds_the_other() -> None:
    """Workers register again one by one after a loss; the first one back must not get all the load."""
    belief = believed(Answer(7, (A, B)), Answer(3, ()), Answer(4, (A,)))
    assert ids(belief) == {"a", "bb"}


def test_after_the_grace_a_sound_second_reading_is_believed() -> None:
    """An empty set that is still empty after the grace, with a leader and no lower index, is true."""
    held = believed(Answer(7, (A,)), Answer(8, ()))
    belief = judge(held, Answer(8, ()), now_s=GRACE_S)
    assert ids(belief) == set()


@pytest.mark.parametrize("answer", [Answer(5, ()), Answer(9, (), known_leader=False), Answer(9, (), hidden=True)])
def test_after_the_grace_an_unsound_second_reading_is_not(answer: Answer) -> None:
    """A second reading that regressed again, knows no leader, or hides what there is, extends the hold."""
    held = believed(Answer(7, (A,)), Answer(8, ()))
    belief = judge(held, answer, now_s=GRACE_S)
    assert ids(belief) == {"a"}
    assert belief.suspect_until_s == 2 * GRACE_S


def test_the_last_worker_that_said_goodbye_is_gone_at_once() -> None:
    """Maintenance before it deregisters is a goodbye: the empty set is believed at once."""
    goodbye = worker("a", Health.MAINTENANCE)
    assert ids(believed(Answer(7, (A,)), Answer(8, (goodbye,)), Answer(9, ()))) == set()


def test_a_reaped_worker_is_gone_at_once() -> None:
    """A worker that had been critical and is gone was reaped, not lost."""
    dead = worker("a", Health.CRITICAL)
    assert ids(believed(Answer(7, (A,)), Answer(8, (dead,)), Answer(9, ()))) == set()


def test_critical_workers_are_not_eligible() -> None:
    """While at least half of the set is healthy, only the healthy are handed out."""
    assert eligible(believed(Answer(7, (A, B)), Answer(8, (A, worker("bb", Health.CRITICAL))))) == {"a"}


def test_when_fewer_than_half_are_healthy_all_are_eligible() -> None:
    """When most of a set turns critical, checks are likelier to be wrong than workers: use all."""
    answer = Answer(8, (A, worker("bb", Health.CRITICAL), worker("ccc", Health.CRITICAL)))
    assert eligible(believed(Answer(7, (A, B, C)), answer)) == {"a", "bb", "ccc"}


def test_an_agent_restart_that_calls_all_critical_empties_nothing() -> None:
    """After an agent restarts, every check is critical until its first run; the set stays."""
    answer = Answer(8, (worker("a", Health.CRITICAL), worker("bb", Health.CRITICAL)))
    assert eligible(believed(Answer(7, (A, B)), answer)) == {"a", "bb"}


def test_a_worker_that_never_served_is_not_used_in_panic() -> None:
    """A critical worker that was never seen healthy is not handed out, however few others there are."""
    assert eligible(believed(Answer(7, (worker("a", Health.CRITICAL),)))) == set()


def test_maintenance_is_never_overruled() -> None:
    """A worker that an operator took out stays out, even when all others are critical."""
    answer = Answer(8, (worker("a", Health.MAINTENANCE), worker("bb", Health.CRITICAL)))
    assert eligible(believed(Answer(7, (A, B)), answer)) == {"bb"}


def test_a_warning_is_served() -> None:
    """Warning means loaded: still handed out."""
    assert eligible(believed(Answer(7, (worker("a", Health.WARNING),)))) == {"a"}


@pytest.mark.parametrize(
    ("asked", "answered", "following"),
    [(0, 7, 7), (7, 8, 8), (7, 7, 7), (7, 3, 0), (0, 0, 1), (99, 100, 100)],
)
def test_the_next_question_carries_a_sound_index(asked: int, answered: int, following: int) -> None:
    """Backwards means from the start; an answered 0 is asked as 1, or the long poll would spin."""
    assert next_index(asked, answered) == following


@pytest.mark.parametrize(
    "answer",
    [Answer(8, (A,), known_leader=False), Answer(8, (A,), last_contact_ms=60_000), Answer(8, (), hidden=True)],
)
def test_an_answer_that_is_not_the_whole_truth_marks_stale(answer: Answer) -> None:
    """No leader, none heard for long, or instances hidden: what is served is marked stale, and served."""
    belief = believed(Answer(7, (A,)), answer)
    assert belief.stale
    assert eligible(belief) == {"a"}


def test_an_error_changes_nothing_but_marks_stale() -> None:
    """An error never empties the set and never moves the index."""
    belief = doubt(believed(Answer(7, (A, B))))
    assert (ids(belief), belief.index, belief.stale) == ({"a", "bb"}, 7, True)


def test_a_good_answer_ends_staleness() -> None:
    """The next sound answer is no longer stale."""
    assert not judge(doubt(believed(Answer(7, (A,)))), Answer(8, (A,)), now_s=0.0).stale
