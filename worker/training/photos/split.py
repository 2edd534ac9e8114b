"""The contents of photos -> which photos train, validate and test; pure.

The part of a photo depends on a hash of its content, so that it never depends on names, on order or on other photos.
Photos that are alike share a part: copies, near-duplicates, and variants of a photo, which the article's retrain.py
marks with `_nohash_` in their names. A photo that had a part in an earlier run keeps it, so that a test photo never
becomes a training photo when photos are added.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from worker.errors import RetrainError

Part = Literal["train", "validation", "test"]

LEAST = 5
"""Photos that a label needs at least: some for training, one for validation and one for testing."""

LEAST_DIFFERENT = 3
"""Photos of a label that must not be alike: one for each part."""

_PARTS: tuple[Part, ...] = ("test", "validation", "train")  # where folders disagree, the first one counts
_VARIANT = "_nohash_"


@dataclass(frozen=True)
class Shares:
    """The shares of photos for testing and for validation in per cent; the rest trains. Defaults as retrain.py's."""

    test: float = 10.0
    validation: float = 10.0

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that must not be empty."""
        shares = {"test": self.test, "validation": self.validation, "train": 100.0}
        return tuple(part for part in _PARTS if shares[part] > 0)


def assign(
    photos: Mapping[str, Sequence[tuple[str, str]]],
    *,
    kept: Mapping[str, Part],
    fixed: Mapping[str, Part] | None = None,
    alike: Iterable[tuple[str, str]] = (),
    shares: Shares | None = None,
) -> dict[str, Part]:
    """The part of each photo, by its digest; photos that are missing here must not be used.

    photos: file name and digest of the usable photos of each label
    kept:   the parts of an earlier run by digest, which stay unless a part would be empty
    fixed:  the parts that folders name, by digest
    alike:  pairs of digests of near-duplicates

    Photos that are alike form a group. A group whose photos had different parts keeps them, and photos that join it
    are not used; where folders name different parts for a group, the photos for testing are used, and those that
    would train on the same are not. Each label has about the shares given and at least one group in each part: a part
    that the hashes leave empty gets the group with the lowest hash of the largest part, if possible a new one that no
    other label has. Raises RetrainError for fewer than `LEAST` photos, or `LEAST_DIFFERENT` groups, of a label.
    """
    fixed, shares = fixed or {}, shares or Shares()
    groups = groups_of(photos, alike)
    own = {label: [groups[digest] for _, digest in named] for label, named in photos.items()}
    if not fixed:
        _check_enough(photos, own)
    known = dict(kept) | dict(fixed)
    members = defaultdict(list)
    for digest, group in groups.items():
        members[group].append(digest)
    disputed = {group for group, digests in members.items() if len({known[d] for d in digests if d in known}) > 1}
    old: dict[str, Part] = {groups[digest]: known[digest] for digest in groups if digest in known}
    parts = {group: old.get(group) or _part(_percentage(group), shares) for group in members}
    for label in photos:
        others = {group for other in photos if other != label for group in own[other]}
        wanted = [part for part in shares.parts if part != "train" or not fixed]
        _fill(parts, set(own[label]) - disputed, old.keys() | others, wanted)
    settled: dict[str, Part] = {digest: parts[group] for digest, group in groups.items() if group not in disputed}
    for group in disputed:
        settled |= _undisputed(members[group], kept, fixed)
    for label, named in photos.items():
        if not any(settled.get(digest) == "train" for _, digest in named):
            raise RetrainError(f"The label {label!r} has no photo to train on that is in no other part: add some.")
    return settled


def _undisputed(digests: Sequence[str], kept: Mapping[str, Part], fixed: Mapping[str, Part]) -> dict[str, Part]:
    """The parts of those photos of a group that may be used although the group's parts differ."""
    named = {fixed[digest] for digest in digests if digest in fixed}
    if named:
        first = next(part for part in _PARTS if part in named)
        return {digest: first for digest in digests if fixed.get(digest) == first}
    return {digest: kept[digest] for digest in digests if digest in kept}


def groups_of(photos: Mapping[str, Sequence[tuple[str, str]]], alike: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The name of each digest's group, which is the digest itself where nothing is like it."""
    joined = _Joined()
    for label, named in photos.items():
        stems = {name.partition(_VARIANT)[0] for name, _ in named if _VARIANT in name}
        for name, digest in named:
            joined.join(digest, digest)
            stem = name.partition(_VARIANT)[0] if _VARIANT in name else name
            if stem in stems:
                joined.join(digest, f"{label}/{stem}")
    for one, other in alike:
        joined.join(one, other)
    digests = {digest for named in photos.values() for _, digest in named}
    names: dict[str, str] = {}
    for node in joined.nodes:
        root = joined.root(node)
        variant = node not in digests
        best = names.get(root)
        if best is None or (best in digests, best) > (not variant, node):
            names[root] = node
    return {digest: names[joined.root(digest)] for digest in digests}


class _Joined:
    """Sets that are joined (union-find, with path halving)."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    @property
    def nodes(self) -> Collection[str]:
        return self._above.keys()

    def root(self, node: str) -> str:
        above = self._above
        above.setdefault(node, node)
        while above[node] != node:
            above[node] = above[above[node]]
            node = above[node]
        return node

    def join(self, one: str, other: str) -> None:
        self._above[self.root(one)] = self.root(other)


def _check_enough(photos: Mapping[str, Sequence[tuple[str, str]]], own: Mapping[str, Sequence[str]]) -> None:
    for label, groups in own.items():
        if len(groups) < LEAST:
            raise RetrainError(f"The label {label!r} has {len(groups)} usable photos; it needs {LEAST} or more.")
    for label, groups in own.items():
        if len(set(groups)) < LEAST_DIFFERENT:
            copies = len({digest for _, digest in photos[label]}) < LEAST_DIFFERENT
            raise RetrainError(
                f"The label {label!r} has {len(groups)} usable photos, of which only {len(set(groups))} differ, and "
                f"{'copies' if copies else 'near-duplicates'} are used together: it needs {LEAST_DIFFERENT} or more "
                "that differ."
            )


def _fill(parts: dict[str, Part], own: set[str], spared: Collection[str], wanted: Sequence[Part]) -> None:
    """Change `parts` so that each part wanted has one of a label's groups `own`, if possible not one of `spared`."""
    for missing in wanted:
        counts = {part: sum(parts[group] == part for group in own) for part in _PARTS}
        richest = max(_PARTS, key=counts.__getitem__)
        if not counts[missing] and counts[richest] > 1:
            rich = [group for group in own if parts[group] == richest]
            parts[min(rich, key=lambda group: (group in spared, _percentage(group), group))] = missing


def _part(percentage: float, shares: Shares) -> Part:
    if percentage < shares.test:
        return "test"
    return "validation" if percentage < shares.test + shares.validation else "train"


def _percentage(key: str) -> float:
    """0 to 100, from a hash of a key."""
    most = 2**27 - 1  # as in retrain.py
    return int(hashlib.sha1(key.encode("utf-8", "surrogateescape")).hexdigest(), 16) % (most + 1) * (100.0 / most)
