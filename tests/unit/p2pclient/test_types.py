"""The values that calls take and give."""

from __future__ import annotations

from p2pclient import Snapshot, Worker


def test_an_ipv6_worker_stands_in_brackets():
    """The address of a worker can be put into a URL as it is."""
    assert Worker("classify", "a", "::1", 80).address == "[::1]:80"


def test_a_snapshot_is_a_sequence_of_workers():
    """It can be walked through, counted and indexed, and says how old it is."""
    workers = tuple(Worker("classify", name, "10.0.0.1", 80) for name in "ab")
    snapshot = Snapshot("classify", workers, age_s=1.5)
    assert (list(snapshot), len(snapshot), snapshot[1], snapshot[:1]) == (list(workers), 2, workers[1], workers[:1])
    assert workers[0] in snapshot
    assert snapshot.age_s == 1.5


def test_a_warning_means_loaded_not_broken():
    """Workers that pass or warn are asked, others are not."""
    health = ("passing", "warning", "critical", "maintenance")
    assert [Worker("c", "a", "h", 1, health=word).healthy for word in health] == [True, True, False, False]
