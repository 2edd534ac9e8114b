"""What Consul's key/value store says of the roll-out of a service: the split among versions, and the shadows. Pure.

p2p-serving/rollouts/SERVICE   {"split": {"3": 90, "4": 10}, "shadows": {"4": 5}, "former": {"3": 100}}

A record without split and shadows is none: commands write it where they could remove the entry, so that a missing entry
always means that Consul has lost its data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PREFIX = "p2p-serving/rollouts/"

VERSIONS_AT_MOST = 16
WEIGHT_AT_MOST = 10_000
VERSION_CHARACTERS_AT_MOST = 64
RECORD_AT_MOST_BYTES = 16_384

Weights = Mapping[str, int]
"""Weights by version; a version gets its weight's part of their sum."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """How the calls of one service are spread over its versions.

    `split`: the weight of each version; empty: every worker by its own weight. `shadows`: percent of the calls of which
    a version gets a copy. `former`: the split to which a rollback returns; None where there was no record before.
    """

    split: Weights = field(default_factory=dict)
    shadows: Mapping[str, float] = field(default_factory=dict)
    former: Weights | None = None

    @property
    def in_force(self) -> bool:
        """Whether it changes anything about who gets a call."""
        return bool(self.split or self.shadows)


def split_text(split: Weights | None) -> str:
    """A split as it is given to `p2p split`, such as `3=90 4=10`."""
    return " ".join(f"{version}={weight}" for version, weight in (split or {}).items()) or "none, all workers by weight"


def shadows_text(shadows: Mapping[str, float]) -> str:
    """Shadows as they are given to `p2p split --shadow`, such as `4=5%`."""
    return " ".join(f"{version}={percent:g}%" for version, percent in shadows.items()) or "none"


def key_of(service: str) -> str:
    """The key of a service's record."""
    return f"{PREFIX}{service}"


def written(rollout: Rollout) -> bytes:
    """The record as it is stored."""
    return json.dumps(rollout_entry(rollout)).encode()


def rollout_entry(rollout: Rollout) -> dict[str, Any]:
    """The record as a JSON object."""
    former = {} if rollout.former is None else {"former": dict(rollout.former)}
    return {"split": dict(rollout.split), "shadows": dict(rollout.shadows)} | former


def read(value: bytes) -> Rollout:
    """The record with this value. Raises ValueError, with a clause that says what is wrong with it."""
    if len(value) > RECORD_AT_MOST_BYTES:
        raise ValueError(f"it has more than {RECORD_AT_MOST_BYTES} bytes")
    try:
        found: Any = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is no JSON") from error
    return read_entry(found)


def read_entry(found: object) -> Rollout:
    """The record of a JSON object. Raises ValueError, with a clause that says what is wrong with it."""
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    former = found.get("former")
    return Rollout(
        checked_weights(found.get("split", {})),
        checked_percents(found.get("shadows", {})),
        None if former is None else checked_weights(former),
    )


def checked_weights(found: object) -> Weights:
    """The weights, if they are usable. Raises ValueError, with a clause that says why not."""
    weights: dict[str, int] = {}
    for version, weight in _by_version(found):
        if type(weight) is not int or not 0 <= weight <= WEIGHT_AT_MOST:
            raise ValueError(
                f"the weight of version {version} is {weight!a:.40}: give a whole number from 0 to {WEIGHT_AT_MOST}"
            )
        weights[version] = weight
    if weights and not any(weights.values()):
        raise ValueError("no version has a weight above 0")
    return weights


def checked_percents(found: object) -> Mapping[str, float]:
    """The shadows' percents, if they are usable. Raises ValueError, with a clause that says why not."""
    percents: dict[str, float] = {}
    for version, percent in _by_version(found):
        if type(percent) not in (int, float) or not 0 < percent <= 100:
            raise ValueError(f"the shadow of version {version} is {percent!a:.40}: give a percent above 0, up to 100")
        percents[version] = percent
    return percents


def _by_version(found: object) -> list[tuple[str, Any]]:
    if not isinstance(found, dict):
        raise ValueError(f"{found!a:.40} is no object with a number for each version")
    if len(found) > VERSIONS_AT_MOST:
        raise ValueError(f"it names {len(found)} versions: {VERSIONS_AT_MOST} at most")
    for version in found:
        if not (0 < len(version) <= VERSION_CHARACTERS_AT_MOST and version.isprintable()):
            raise ValueError(f"{version!a:.80} cannot be a version: 1 to {VERSION_CHARACTERS_AT_MOST} characters")
    return list(found.items())
