"""Which versions are loaded, let go of, waited for; what each name for one means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.artifacts.version_plan import (
    Files,
    Policy,
    VersionPlan,
    parse_labels,
    parse_policy,
    plan_versions,
    resolve_version,
)
from worker.errors import ModelError

LATEST, ALL = Policy("latest"), Policy("all")


def listing(**changes: int) -> dict[str, Files]:
    """v1=10 is version 1 with the files that 10 stands for."""
    return {name.removeprefix("v"): Files(fingerprint) for name, fingerprint in changes.items()}


@pytest.mark.parametrize(
    ("sentence", "policy", "now", "before", "loaded", "failed", "plan"),
    [
        ("nothing there, nothing to do", LATEST, {}, {}, (), {}, VersionPlan()),
        ("one look is not enough", LATEST, listing(v1=1), {}, (), {}, VersionPlan(wait=("1",))),
        ("the same twice is whole", LATEST, listing(v1=1), listing(v1=1), (), {}, VersionPlan(load=("1",))),
        ("quiet files need no second look", LATEST, {"1": Files(1, quiet=True)}, {}, (), {}, VersionPlan(load=("1",))),
        ("still being copied", LATEST, listing(v1=1, v2=5), listing(v1=1, v2=4), "1", {}, VersionPlan(wait=("2",))),
        (
            "the highest of several",
            LATEST,
            listing(v9=1, v10=1),
            listing(v9=1, v10=1),
            (),
            {},
            VersionPlan(load=("10",)),
        ),
        (
            "a new one is loaded first",
            LATEST,
            listing(v1=1, v2=1),
            listing(v1=1, v2=1),
            "1",
            {},
            VersionPlan(load=("2",)),
        ),
        (
            "then the old one let go",
            LATEST,
            listing(v1=1, v2=1),
            listing(v1=1, v2=1),
            "12",
            {},
            VersionPlan(unload=("1",)),
        ),
        ("a lower one is left alone", LATEST, listing(v1=1, v2=1), listing(v1=1, v2=1), "2", {}, VersionPlan()),
        (
            "one that failed is left alone",
            LATEST,
            listing(v1=1, v2=1),
            listing(v1=1, v2=1),
            "1",
            {"2": 1},
            VersionPlan(),
        ),
        (
            "one that failed is tried again when its files have changed",
            *(LATEST, listing(v1=1, v2=7), listing(v1=1, v2=7), "1", {"2": 1}, VersionPlan(load=("2",))),
        ),
        (
            "and not while they are changing",
            *(LATEST, listing(v1=1, v2=7), listing(v1=1, v2=6), "1", {"2": 1}, VersionPlan(wait=("2",))),
        ),
        ("what is loaded is looked at no more", LATEST, listing(v1=9), listing(v1=1), "1", {}, VersionPlan()),
        ("taken away: back to the one before", LATEST, listing(v1=1), listing(v1=1), "2", {}, VersionPlan(load=("1",))),
        ("missing once is no news", LATEST, listing(v1=1), listing(v1=1, v2=1), "2", {}, VersionPlan()),
        ("an empty folder ends nothing", LATEST, {}, {}, "2", {}, VersionPlan()),
        ("all, the highest first", ALL, listing(v1=1, v2=1), listing(v1=1, v2=1), (), {}, VersionPlan(load=("2", "1"))),
        ("all stay", ALL, listing(v1=1, v2=1), listing(v1=1, v2=1), "12", {}, VersionPlan()),
        ("of all one was taken away", ALL, listing(v1=1), listing(v1=1), "12", {}, VersionPlan(unload=("2",))),
        ("of all one failed", ALL, listing(v1=1, v2=1), listing(v1=1, v2=1), "1", {"2": 1}, VersionPlan()),
        (
            "those that are named and no other",
            *(Policy("named", ("2", "1")), listing(v1=1, v2=1, v3=1), listing(v1=1, v2=1, v3=1), "1", {}),
            VersionPlan(load=("2",)),
        ),
        ("one named, not there", Policy("named", ("7",)), listing(v1=1), listing(v1=1), (), {}, VersionPlan()),
    ],
)
def test_what_to_do(
    sentence: str,
    policy: Policy,
    now: dict[str, Files],
    before: dict[str, Files],
    loaded: str,
    failed: dict[str, int],
    plan: VersionPlan,
) -> None:
    """Each sentence holds for two looks at the folder, what is loaded and what failed."""
    assert plan_versions(policy, now=now, before=before, loaded=list(loaded), failed=failed) == plan, sentence


numbers = st.integers(0, 12).map(str)
files = st.builds(Files, st.integers(0, 2), st.booleans())
policies = st.one_of(
    st.just(LATEST), st.just(ALL), st.lists(numbers, min_size=1, unique=True).map(lambda n: Policy("named", tuple(n)))
)


@given(
    policy=policies,
    now=st.dictionaries(numbers, files),
    before=st.dictionaries(numbers, files),
    loaded=st.sets(numbers),
    failed=st.dictionaries(numbers, st.integers(0, 2)),
)
def test_something_always_serves(
    policy: Policy, now: dict[str, Files], before: dict[str, Files], loaded: set[str], failed: dict[str, int]
) -> None:
    """Whatever the folder shows, the last that serves is never let go of, nothing is loaded twice, nor in pieces."""
    plan = plan_versions(policy, now=now, before=before, loaded=loaded, failed=failed)
    assert not loaded or set(plan.unload) < loaded
    assert not (set(plan.load) & loaded)
    assert all(now[v].quiet or now[v] == before[v] for v in plan.load)
    assert all(failed.get(v) != now[v].fingerprint for v in plan.load)


@given(policy=policies, now=st.dictionaries(numbers, files))
def test_looks_at_an_unchanging_folder_come_to_rest(policy: Policy, now: dict[str, Files]) -> None:
    """Acted upon again and again, the plans for a folder that stays as it is end, with what the policy wants."""
    loaded: set[str] = set()
    for _ in range(2 * len(now) + 2):
        plan = plan_versions(policy, now=now, before=now, loaded=loaded, failed={})
        loaded = (loaded | set(plan.load[:1])) - set(plan.unload)
    assert plan == VersionPlan()
    assert loaded == set(policy.wants(now))


@pytest.mark.parametrize(
    ("version", "label", "policy", "labels", "loaded", "answers"),
    [
        (None, None, LATEST, {}, "12", "2"),
        (None, "stable", LATEST, {}, "12", "2"),
        (None, "latest", ALL, {"stable": "1"}, "12", "2"),
        (None, None, ALL, {"stable": "1"}, "12", "1"),
        (None, None, ALL, {"stable": "7"}, "12", "2"),
        (None, None, Policy("named", ("1", "2")), {}, "12", "1"),
        (None, None, Policy("named", ("3", "1", "2")), {}, "12", "1"),
        (None, "canary", ALL, {"canary": "3"}, "12", "3"),
        (None, "canary", ALL, {}, "12", None),
        ("2", None, ALL, {}, "12", "2"),
        ("0002", None, ALL, {}, "12", "2"),
        ("newest", None, ALL, {}, "12", "newest"),
        (None, None, LATEST, {}, "", None),
        (None, "latest", LATEST, {}, "", None),
    ],
)
def test_what_a_name_means(
    version: str | None, label: str | None, policy: Policy, labels: dict[str, str], loaded: str, answers: str | None
) -> None:
    """A number means itself, a label what it was set to, and neither what is stable."""
    assert resolve_version(version=version, label=label, policy=policy, labels=labels, loaded=list(loaded)) == answers


def test_flags_are_read() -> None:
    """The policy and the labels as the flags give them, and back."""
    assert (parse_policy("latest"), parse_policy("all")) == (LATEST, ALL)
    assert parse_policy("3, 02,3") == Policy("named", ("3", "2"))
    assert [str(parse_policy(text)) for text in ("latest", "all", "3,2")] == ["latest", "all", "3,2"]
    assert parse_labels(["canary=3", "stable=02"]) == {"canary": "3", "stable": "2"}


@pytest.mark.parametrize("text", ["", "newest", "1,", "-1", "1;2"])
def test_a_policy_that_cannot_be_used_is_refused(text: str) -> None:
    """Anything else names the flag and what it takes."""
    with pytest.raises(ModelError, match="--version-policy is latest, all, or numbers"):
        parse_policy(text)


@pytest.mark.parametrize("text", ["canary", "canary=", "=3", "a/b=3", "latest=3", "canary=x"])
def test_a_label_that_cannot_be_used_is_refused(text: str) -> None:
    """A label is a name and a number; latest cannot be moved."""
    with pytest.raises(ModelError, match="--version-label"):
        parse_labels([text])
