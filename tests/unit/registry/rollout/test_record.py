"""The record of a service's roll-out: written and read back, and refused with a clause where it cannot be used."""

from __future__ import annotations

import json
import re

import pytest

from registry.rollout.record import RECORD_AT_MOST_BYTES, Rollout, read, shadows_text, split_text, written


@pytest.mark.parametrize(
    "rollout",
    [Rollout(), Rollout({"3": 90, "4": 10}), Rollout({"3": 1, "4": 0}, {"4": 5.5}, {"3": 100}), Rollout({}, {}, {})],
)
def test_what_is_written_is_read_back(rollout: Rollout) -> None:
    assert read(written(rollout)) == rollout


def test_a_record_without_split_and_shadows_is_not_in_force() -> None:
    assert not read(b"{}").in_force
    assert Rollout(shadows={"4": 1}).in_force
    assert Rollout({"4": 1}).in_force


@pytest.mark.parametrize(
    ("value", "clause"),
    [
        (b"", "it is no JSON"),
        (b"[" * 5000, "it is no JSON"),
        (b"[]", "it is no JSON object"),
        (b'{"split": [1]}', "is no object with a number for each version"),
        (b'{"split": {"3": 1.5}}', "the weight of version 3 is 1.5: give a whole number from 0 to 10000"),
        (b'{"split": {"3": true}}', "the weight of version 3 is True"),
        (b'{"split": {"3": -1}}', "the weight of version 3 is -1"),
        (b'{"split": {"3": 10001}}', "the weight of version 3 is 10001"),
        (b'{"split": {"3": 0}}', "no version has a weight above 0"),
        (b'{"split": {"": 1}}', "'' cannot be a version"),
        (b'{"split": {"a\\u0000": 1}}', "cannot be a version"),
        (b'{"shadows": {"4": 0}}', "the shadow of version 4 is 0: give a percent above 0, up to 100"),
        (b'{"shadows": {"4": 101}}', "the shadow of version 4 is 101"),
        (b'{"shadows": {"4": "5%"}}', "the shadow of version 4 is '5%'"),
        (b'{"former": {"3": "1"}}', "the weight of version 3 is '1'"),
        (json.dumps({"split": {str(n): 1 for n in range(17)}}).encode(), "it names 17 versions: 16 at most"),
        (b" " * (RECORD_AT_MOST_BYTES + 1), "it has more than 16384 bytes"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_clause(value: bytes, clause: str) -> None:
    with pytest.raises(ValueError, match=re.escape(clause)):
        read(value)


def test_splits_and_shadows_are_written_as_they_are_given() -> None:
    assert split_text({"3": 90, "4": 10}) == "3=90 4=10"
    assert split_text({}) == split_text(None) == "none, all workers by weight"
    assert shadows_text({"4": 5.0, "5": 0.5}) == "4=5% 5=0.5%"
    assert shadows_text({}) == "none"
