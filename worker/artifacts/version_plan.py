"""Which versions of a model to load and unload, and which version a request means: pure decisions over plain data.

Two readings of a model's folder, the loaded versions and the failed ones -> what to load and unload next. A version is
the number of its folder, as text without leading zeros.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from worker.errors import ModelError

State = Literal["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]
"""The states of a version, in the words of TensorFlow Serving; one that could not be loaded is at its END."""

STABLE, LATEST = "stable", "latest"
"""Labels that always exist: the default version, and the highest version that is loaded."""

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True)
class VersionStatus:
    """The state of one version, and `error`, a sentence, where loading it failed."""

    version: str
    state: State
    error: str = ""


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one version: `fingerprint` changes with every name, size or time of change.

    `quiet` says that nothing has been written there for a while: such files need no second reading.
    """

    fingerprint: int
    quiet: bool = False


Listing = Mapping[str, Files]
"""The versions in a folder, at one reading."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Which versions are to be served: the highest, all, or `named` ones, the first of which is the default."""

    kind: Literal["latest", "all", "named"] = "latest"
    named: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As `--version-policy` takes it."""
        return ",".join(self.named) if self.kind == "named" else self.kind

    def wants(self, candidates: Iterable[str]) -> list[str]:
        """Those of the candidates that should be loaded, the highest first."""
        highest_first = sorted(candidates, key=int, reverse=True)
        if self.kind == "latest":
            return highest_first[:1]
        return [v for v in highest_first if self.kind == "all" or v in self.named]

    def default(self, loaded: Collection[str]) -> str | None:
        """The version that answers where none is named; None where none is loaded."""
        first = next((v for v in self.named if v in loaded), None)
        return first or max(loaded, key=int, default=None)


LATEST_ONLY = Policy()


@dataclass(frozen=True, slots=True)
class VersionPlan:
    """What to do next: `load` these in this order, `unload` those, and `wait` for these to be copied."""

    load: tuple[str, ...] = ()
    unload: tuple[str, ...] = ()
    wait: tuple[str, ...] = ()


def plan_versions(
    policy: Policy, *, now: Listing, before: Listing, loaded: Collection[str], failed: Mapping[str, int]
) -> VersionPlan:
    """Decide after a reading of the folder.

    now, before: this reading and the one before it
    loaded:      the versions that serve; changes of their files do not count, a version is what was loaded
    failed:      the fingerprint of the files with which each version could not be loaded

    A version is loaded when two readings agree about its files, so not while it is being copied. A version that failed
    is tried again when its files have changed. A version is unloaded only when its replacement is loaded; a version
    that has disappeared from the folder only when two readings miss it and another version is left, so that one empty
    answer of a file server unloads nothing.
    """
    there = {v for v in loaded if v in now or v in before}
    fresh = {v: files for v, files in now.items() if v not in loaded and failed.get(v) != files.fingerprint}
    settled = {v for v, files in fresh.items() if files.quiet or before.get(v) == files}
    wanted = policy.wants(there | settled)
    load = tuple(v for v in wanted if v not in loaded)
    unload = () if load or not wanted else tuple(sorted((v for v in loaded if v not in wanted), key=int))
    hoped = policy.wants(there | set(fresh))
    return VersionPlan(load, unload, tuple(v for v in hoped if v not in wanted))


def resolve_version(
    *, version: str | None, label: str | None, policy: Policy, labels: Mapping[str, str], loaded: Collection[str]
) -> str | None:
    """The version that a request names by number or label, or else the default version; None if there is none."""
    if version is not None:
        return version_number(version) or version
    if label == LATEST:
        return max(loaded, key=int, default=None)
    stable = labels.get(STABLE)
    default = stable if stable in loaded else policy.default(loaded)
    return default if label in (None, STABLE) else labels.get(label or "")


def version_number(number: str) -> str | None:
    """The version of a folder's name: 0001 is version 1; None for a name that is no decimal number in ASCII."""
    return str(int(number)) if number.isascii() and number.isdigit() and len(number) < 20 else None


def parse_policy(text: str) -> Policy:
    """The policy that `--version-policy` says: latest, all, or numbers with commas. Raises ModelError."""
    if text in ("latest", "all"):
        return Policy("latest" if text == "latest" else "all")
    named = tuple(version_number(part.strip()) or "" for part in text.split(","))
    if "" in named:
        raise ModelError(f"--version-policy is latest, all, or numbers such as 3 or 2,3, not {text[:40]!r}.")
    return Policy("named", tuple(dict.fromkeys(named)))


def parse_labels(texts: Iterable[str]) -> Mapping[str, str]:
    """The labels that `--version-label NAME=N` give, repeated. Raises ModelError."""
    labels: dict[str, str] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        version = version_number(number)
        if not equals or version is None or not _LABEL.fullmatch(name):
            raise ModelError(
                f"--version-label takes NAME=NUMBER, such as canary=3, not {text[:80]!a}: a name has 1 to 63 "
                "letters, digits, dots, dashes and underscores, and begins with a letter or digit."
            )
        if name == LATEST:
            raise ModelError("--version-label cannot move latest: it is always the highest version that is loaded.")
        labels[name] = version
    return labels
