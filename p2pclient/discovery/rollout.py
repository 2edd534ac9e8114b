"""How calls are split among versions: as a lookup service tells it, or as Consul's record and the workers say; pure.

    {"split": {"3": 90}, "shadows": {"4": 5}, "shares": {"3": 90}, "absent": []}    a lookup service, in `/instances`
    {"split": {"3": 90, "4": 10}, "shadows": {"5": 2.5}, "former": {"3": 100}}      a record of `p2p split`

The registry reads and decides by itself what a record means; tests compare the two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from p2pclient.bounds import whole_number
from p2pclient.types import Rollout, Worker

VERSIONS_AT_MOST = 16
WEIGHT_AT_MOST = 10_000
VERSION_CHARACTERS_AT_MOST = 64
RECORD_AT_MOST_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Record:
    """What an operator has set for a service: weights by version, and of which percent a version gets a copy."""

    split: Mapping[str, int] = field(default_factory=dict)
    shadows: Mapping[str, float] = field(default_factory=dict)


def read_told(found: dict[str, Any]) -> Rollout:
    """The split that a lookup service tells; raises one of MALFORMED."""
    split = {version: whole_number(weight) for version, weight in found["split"].items()}
    shares = {version: whole_number(weight, least=1) for version, weight in found["shares"].items()}
    shadows = {version: float(percent) for version, percent in found["shadows"].items()}
    if not all(0 < percent <= 100 for percent in shadows.values()):
        raise ValueError("no percent")
    return Rollout(split, shadows, shares, tuple(str(version) for version in found["absent"]))


def read_record(value: bytes) -> Record:
    """The record with this value. Raises ValueError, with a clause that says what is wrong with it."""
    if len(value) > RECORD_AT_MOST_BYTES:
        raise ValueError(f"it has more than {RECORD_AT_MOST_BYTES} bytes")
    try:
        found: Any = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is no JSON") from error
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    if found.get("former") is not None:
        _weights(found["former"])
    return Record(_weights(found.get("split", {})), _percents(found.get("shadows", {})))


def decide(record: Record, workers: Sequence[Worker], serving: Sequence[Worker]) -> Rollout | None:
    """How calls are spread over all `workers` of a service, of which `serving` are used; None: by their weights alone.

    The weight of a version without a healthy worker goes to the other versions in proportion to theirs, in panic mode,
    too. Where no version of the split has a healthy worker, every version that is no shadow gets calls by its workers'
    weights: an answer of another version is better than none.
    """
    if not (record.split or record.shadows):
        return None
    present: dict[str, int] = {}
    for worker in [worker for worker in workers if worker.healthy] or serving:
        present[worker.version] = present.get(worker.version, 0) + worker.weight
    wanted = {version: weight for version, weight in record.split.items() if weight > 0}
    shares = {version: weight for version, weight in wanted.items() if version in present}
    absent = tuple(version for version in wanted if version not in present)
    if not shares:
        shares = {version: weight for version, weight in present.items() if version not in record.shadows} or present
    return Rollout(record.split, record.shadows, shares, absent)


def _weights(found: object) -> dict[str, int]:
    weights = _by_version(found)
    for version, weight in weights.items():
        if type(weight) is not int or not 0 <= weight <= WEIGHT_AT_MOST:
            raise ValueError(f"the weight of version {version} is no whole number from 0 to {WEIGHT_AT_MOST}")
    if weights and not any(weights.values()):
        raise ValueError("no version has a weight above 0")
    return weights


def _percents(found: object) -> dict[str, float]:
    percents = _by_version(found)
    for version, percent in percents.items():
        if type(percent) not in (int, float) or not 0 < percent <= 100:
            raise ValueError(f"the shadow of version {version} is no percent above 0, up to 100")
    return percents


def _by_version(found: object) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ValueError("a split, or its shadows, are no object with a number for each version")
    if len(found) > VERSIONS_AT_MOST:
        raise ValueError(f"it names {len(found)} versions: {VERSIONS_AT_MOST} at most")
    for version in found:
        if not (0 < len(version) <= VERSION_CHARACTERS_AT_MOST and version.isprintable()):
            raise ValueError(f"{version!a:.80} cannot be a version: 1 to {VERSION_CHARACTERS_AT_MOST} characters")
    return found
