"""Where calls are split, a client picks the version first, and then one of its workers."""

from __future__ import annotations

import random
from collections import Counter

from p2pclient.balancing.balancer import Balancer
from p2pclient.balancing.outlier_ejection import Outcome
from p2pclient.balancing.split_balancer import SplitBalancer
from p2pclient.types import Worker


def worker(name: str, version: str) -> Worker:
    return Worker("flowers", name, "127.0.0.1", 9000 + int(name), version)


OLD, OTHER, NEW = worker("1", "3"), worker("2", "3"), worker("3", "4")


def balancer(shares: dict[str, int], *workers: Worker, subset: int | None = 20) -> SplitBalancer:
    split = SplitBalancer(Balancer(subset=subset, chance=random.Random(1)), chance=random.Random(2))
    split.replace(workers, shares, now_s=0.0)
    return split


def picks(split: SplitBalancer, count: int, exclude: tuple[Worker, ...] = ()) -> Counter[str]:
    found = Counter[str]()
    for _ in range(count):
        picked = split.pick(now_s=1.0, exclude=exclude)
        assert picked is not None
        found[picked.version] += 1
    return found


def test_versions_have_exactly_their_shares() -> None:
    split = balancer({"3": 90, "4": 10}, OLD, OTHER, NEW)
    assert picks(split, 1000) == {"3": 900, "4": 100}
    tens = [picks(split, 10)["4"] for _ in range(100)]
    assert set(tens) == {1}


def test_new_clients_do_not_all_begin_with_the_same_version() -> None:
    firsts = Counter[str]()
    for seed in range(200):
        split = SplitBalancer(Balancer(), chance=random.Random(seed))
        split.replace([OLD, NEW], {"3": 1, "4": 1}, now_s=0.0)
        firsts += picks(split, 1)
    assert 60 < firsts["4"] < 140  # of known dice


def test_a_subset_leaves_no_version_out() -> None:
    """Of 100 workers of version 3 and one of version 4 a client uses 20 and the one."""
    many = [worker(str(number), "3") for number in range(10, 110)]
    assert picks(balancer({"3": 1, "4": 1}, *many, NEW), 40)["4"] == 20


def test_versions_without_a_share_or_without_workers_are_left_out() -> None:
    assert picks(balancer({"3": 1, "5": 9}, OLD, NEW), 10) == {"3": 10}
    assert balancer({"5": 1}, OLD).pick(now_s=1.0) is None


def test_another_version_is_asked_where_the_one_has_nobody_left() -> None:
    """After an attempt on its only worker has failed, and while all its workers refuse connections."""
    split = balancer({"3": 1, "4": 99}, OLD, NEW)
    assert picks(split, 10, exclude=(NEW,)) == {"3": 10}
    split.began(NEW, 1.0)
    split.ended(NEW, now_s=1.0, took_s=0.0, outcome=Outcome.REFUSED)
    assert not split.all_refuse
    assert picks(split, 10) == {"3": 10}
    split.began(OLD, 1.0)
    split.ended(OLD, now_s=1.0, took_s=0.0, outcome=Outcome.REFUSED)
    assert split.all_refuse
    assert split.pick(now_s=1.0) is not None


def test_what_is_known_of_workers_outlasts_a_change_of_the_shares() -> None:
    split = balancer({"3": 50, "4": 50}, OLD, NEW)
    split.began(NEW, 1.0)
    split.ended(NEW, now_s=1.0, took_s=0.0, outcome=Outcome.REFUSED)
    split.replace([OLD, NEW], {"3": 1, "4": 99}, now_s=1.0)
    assert picks(split, 5) == {"3": 5}
    gone = worker("9", "9")
    split.began(gone, 1.0)
    split.ended(gone, now_s=1.0, took_s=0.0, outcome=Outcome.OK)  # of a version that is not there any more
