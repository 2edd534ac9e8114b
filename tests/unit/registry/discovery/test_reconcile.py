"""The table of snapshots: what Consul answered, and what the next snapshot is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from registry.backend.health_answer import HealthAnswer
from registry.consul.catalog import Checks
from registry.discovery.reconcile import CHECK_INTERVAL_S, GRACE_S, mark_stale, next_index, reconcile
from registry.discovery.snapshot import Panic, Snapshot
from registry.instances.instance import Health, Instance


def worker(name: str, health: Health = Health.PASSING) -> Instance:
    return Instance("classify", name, "127.0.0.1", 9000 + len(name), health=health)


A, B, C = worker("a"), worker("bb"), worker("ccc")


def refused(name: str) -> Instance:
    return replace(worker(name, Health.CRITICAL), refused=True)


def after(*answers: HealthAnswer, now_s: float = 0.0) -> Snapshot:
    snapshot = Snapshot("classify")
    for answer in answers:
        snapshot = reconcile(snapshot, answer, now_s=now_s)
    return snapshot


def ids(snapshot: Snapshot) -> set[str]:
    return {i.id for i in snapshot.instances}


def eligible(snapshot: Snapshot) -> set[str]:
    return {i.id for i in snapshot.eligible}


def test_the_first_answer_is_adopted() -> None:
    """What Consul answers first is taken over, and the next query carries its index."""
    snapshot = after(HealthAnswer(7, (A, B)))
    assert (ids(snapshot), snapshot.index, snapshot.known) == ({"a", "bb"}, 7, True)


def test_an_empty_first_answer_is_adopted() -> None:
    """A service that never had workers has none."""
    assert after(HealthAnswer(7, ())).known


def test_one_of_several_leaves_at_once() -> None:
    """A worker that disappears from a sound answer with others in it is dropped."""
    assert ids(after(HealthAnswer(7, (A, B)), HealthAnswer(8, (A,)))) == {"a"}


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("a lower index: the agent lost its data", HealthAnswer(3, (A,))),
        ("no leader", HealthAnswer(8, (A,), known_leader=False)),
        ("no contact with the leader for long", HealthAnswer(8, (A,), last_contact_ms=60_000)),
        ("no instance left, and the last one did not leave in order", HealthAnswer(8, ())),
    ],
)
def test_a_suspicious_disappearance_is_held(what: str, answer: HealthAnswer) -> None:
    """Instances that disappear from a suspicious answer are held for the grace, and eligible meanwhile."""
    snapshot = after(HealthAnswer(7, (A, B)), answer)
    assert ids(snapshot) == {"a", "bb"}, what
    assert eligible(snapshot) == {"a", "bb"}
    assert snapshot.held_until_s == GRACE_S


def test_a_held_worker_that_registers_again_ends_the_hold() -> None:
    """When all that were missing are back, nothing is held any more."""
    snapshot = after(HealthAnswer(7, (A, B)), HealthAnswer(3, ()), HealthAnswer(5, (A, B)))
    assert snapshot.held_until_s is None
    assert ids(snapshot) == {"a", "bb"}


def test_one_of_two_back_still_holds_the_other() -> None:
    """Workers register again one by one after a loss; the first one back must not get all the load."""
    snapshot = after(HealthAnswer(7, (A, B)), HealthAnswer(3, ()), HealthAnswer(4, (A,)))
    assert ids(snapshot) == {"a", "bb"}


def test_after_the_grace_a_sound_second_answer_is_adopted() -> None:
    """An empty set that is still empty after the grace, with a leader and no lower index, is true."""
    held = after(HealthAnswer(7, (A,)), HealthAnswer(8, ()))
    snapshot = reconcile(held, HealthAnswer(8, ()), now_s=GRACE_S)
    assert ids(snapshot) == set()


@pytest.mark.parametrize(
    "answer",
    [
        HealthAnswer(5, ()),
        HealthAnswer(9, (), known_leader=False),
        HealthAnswer(9, (), last_contact_ms=60_000),
        HealthAnswer(9, (), hidden=True),
    ],
)
def test_after_the_grace_an_unsound_second_answer_extends_the_hold(answer: HealthAnswer) -> None:
    """An index that went backwards again, no leader, old data or hidden instances extend the hold."""
    held = after(HealthAnswer(7, (A,)), HealthAnswer(8, ()))
    snapshot = reconcile(held, answer, now_s=GRACE_S)
    assert ids(snapshot) == {"a"}
    assert snapshot.held_until_s == 2 * GRACE_S


def test_the_last_worker_that_left_in_order_is_dropped_at_once() -> None:
    """A worker in maintenance that disappears has left in order: the empty set is adopted at once."""
    leaving = worker("a", Health.MAINTENANCE)
    assert ids(after(HealthAnswer(7, (A,)), HealthAnswer(8, (leaving,)), HealthAnswer(9, ()))) == set()


def test_a_reaped_worker_is_dropped_at_once() -> None:
    """A worker that was critical and disappears was reaped, not lost."""
    dead = worker("a", Health.CRITICAL)
    assert ids(after(HealthAnswer(7, (A,)), HealthAnswer(8, (dead,)), HealthAnswer(9, ()))) == set()


def test_critical_workers_are_not_eligible() -> None:
    """While at least half of the set is healthy, only the healthy are handed out."""
    assert eligible(after(HealthAnswer(7, (A, B)), HealthAnswer(8, (A, worker("bb", Health.CRITICAL))))) == {"a"}


def test_when_fewer_than_half_are_healthy_all_are_eligible() -> None:
    """When most of a set turns critical, checks are likelier to be wrong than workers: use all."""
    answer = HealthAnswer(8, (A, worker("bb", Health.CRITICAL), worker("ccc", Health.CRITICAL)))
    assert eligible(after(HealthAnswer(7, (A, B, C)), answer)) == {"a", "bb", "ccc"}


def test_an_agent_restart_that_calls_all_critical_empties_nothing() -> None:
    """After an agent restarts, every check is critical until its first run; the set stays."""
    answer = HealthAnswer(8, (worker("a", Health.CRITICAL), worker("bb", Health.CRITICAL)))
    assert eligible(after(HealthAnswer(7, (A, B)), answer)) == {"a", "bb"}


def test_panic_says_how_many_of_how_many_are_healthy() -> None:
    """While all are handed out the snapshot says so; while at least half are healthy it does not."""
    answer = HealthAnswer(8, (A, worker("bb", Health.CRITICAL), worker("ccc", Health.CRITICAL)))
    assert after(HealthAnswer(7, (A, B, C)), answer).panic == Panic(1, 3)
    assert after(HealthAnswer(7, (A, B, C))).panic is None
    assert after(HealthAnswer(7, (A, B, C)), answer, HealthAnswer(9, (A, B, C))).panic is None


def test_a_worker_that_refuses_connections_is_dropped_after_one_check_interval() -> None:
    """Most are killed: for one check interval all are handed out, then only the one that others can reach."""
    before = after(HealthAnswer(7, (A, B, C)))
    killed = HealthAnswer(8, (A, refused("bb"), refused("ccc")))
    at_once = reconcile(before, killed, now_s=100.0)
    assert (eligible(at_once), at_once.next_unreachable_s) == ({"a", "bb", "ccc"}, 100.0 + CHECK_INTERVAL_S)
    later = reconcile(at_once, killed, now_s=100.0 + CHECK_INTERVAL_S)
    assert (eligible(later), later.panic, later.next_unreachable_s) == ({"a"}, None, None)


def test_panic_does_not_count_workers_that_refuse_connections() -> None:
    """Of five, one is healthy, one refuses connections, three are critical for another reason: those four are used."""
    names = ("a", "bb", "ccc", "dddd", "eeeee")
    before = after(HealthAnswer(7, tuple(map(worker, names))))
    answer = HealthAnswer(8, (A, refused("bb"), *(worker(name, Health.CRITICAL) for name in names[2:])))
    later = reconcile(reconcile(before, answer, now_s=0.0), answer, now_s=CHECK_INTERVAL_S)
    assert (eligible(later), later.panic) == ({"a", *names[2:]}, Panic(1, 4))


def test_where_no_worker_is_healthy_those_that_refuse_connections_are_used_too() -> None:
    """When all are refused it may be the agent that cannot reach them: everyone is handed out."""
    answer = HealthAnswer(8, (refused("a"), refused("bb")))
    later = reconcile(after(HealthAnswer(7, (A, B)), answer), answer, now_s=1000.0)
    assert (eligible(later), later.panic) == ({"a", "bb"}, Panic(0, 2))


def test_an_agent_restart_holds_the_set_until_the_checks_have_run() -> None:
    """Critical until its first run is not refused: the set is held for longer than one interval, the passing return."""
    answer = HealthAnswer(8, (A, worker("bb", Health.CRITICAL), worker("ccc", Health.CRITICAL)))
    held = reconcile(after(HealthAnswer(7, (A, B, C))), answer, now_s=0.0)
    held = reconcile(held, answer, now_s=10 * CHECK_INTERVAL_S)
    assert (eligible(held), held.next_unreachable_s) == ({"a", "bb", "ccc"}, None)
    checked = reconcile(held, HealthAnswer(9, (A, B, refused("ccc"))), now_s=11 * CHECK_INTERVAL_S)
    assert eligible(checked) == {"a", "bb"}


def test_a_worker_that_serves_again_is_reachable_again() -> None:
    """The time begins anew when a worker has passed in between."""
    answers = [HealthAnswer(7, (A, B, C)), HealthAnswer(8, (A, refused("bb"), refused("ccc")))]
    refusing = reconcile(after(*answers), answers[1], now_s=100.0)
    passing = reconcile(refusing, HealthAnswer(9, (A, B, C)), now_s=101.0)
    again = reconcile(passing, HealthAnswer(10, (A, refused("bb"), refused("ccc"))), now_s=102.0)
    assert (refusing.unreachable, again.unreachable) == ({"bb", "ccc"}, frozenset())
    assert eligible(again) == {"a", "bb", "ccc"}


def test_the_check_interval_is_that_of_our_workers() -> None:
    """Workers register their check with the interval for which a refused connection is given time."""
    assert Checks("http://127.0.0.1:1/").interval_s == CHECK_INTERVAL_S


def test_a_worker_that_never_served_is_not_used_in_panic() -> None:
    """A critical worker that was never seen healthy is not handed out, however few others there are."""
    assert eligible(after(HealthAnswer(7, (worker("a", Health.CRITICAL),)))) == set()


def test_maintenance_is_never_overruled() -> None:
    """A worker that an operator took out stays out, even when all others are critical."""
    answer = HealthAnswer(8, (worker("a", Health.MAINTENANCE), worker("bb", Health.CRITICAL)))
    assert eligible(after(HealthAnswer(7, (A, B)), answer)) == {"bb"}


def test_a_warning_is_served() -> None:
    """Warning means loaded: still handed out."""
    assert eligible(after(HealthAnswer(7, (worker("a", Health.WARNING),)))) == {"a"}


@pytest.mark.parametrize(
    ("asked", "answered", "following"),
    [(0, 7, 7), (7, 8, 8), (7, 7, 7), (7, 3, 0), (0, 0, 1), (99, 100, 100)],
)
def test_the_next_query_carries_a_sound_index(asked: int, answered: int, following: int) -> None:
    """After a lower index it is 0; after an answered 0 it is 1, since a query with 0 would not block."""
    assert next_index(asked, answered) == following


@pytest.mark.parametrize(
    "answer",
    [
        HealthAnswer(8, (A,), known_leader=False),
        HealthAnswer(8, (A,), last_contact_ms=60_000),
        HealthAnswer(8, (), hidden=True),
    ],
)
def test_an_answer_that_is_not_current_marks_stale(answer: HealthAnswer) -> None:
    """No leader, none heard for long, or instances hidden: what is served is marked stale, and served."""
    snapshot = after(HealthAnswer(7, (A,)), answer)
    assert snapshot.stale
    assert eligible(snapshot) == {"a"}


def test_an_error_changes_nothing_but_marks_stale() -> None:
    """An error never empties the set and never moves the index."""
    snapshot = mark_stale(after(HealthAnswer(7, (A, B))))
    assert (ids(snapshot), snapshot.index, snapshot.stale) == ({"a", "bb"}, 7, True)


def test_a_good_answer_ends_staleness() -> None:
    """The next sound answer is no longer stale."""
    assert not reconcile(mark_stale(after(HealthAnswer(7, (A,)))), HealthAnswer(8, (A,)), now_s=0.0).stale
