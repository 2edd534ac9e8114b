"""A registration as the data of a node: what is written is read again, and nothing else makes an instance."""

from __future__ import annotations

import json
from types import MappingProxyType

from hypothesis import given, settings
from hypothesis import strategies as st

from registry.instances.instance import TAG, Health, Instance
from registry.instances.usability import Unusable
from registry.zookeeper.node import Check, boot_of, decode, encode, maintenance_of, with_maintenance

CATS = Instance(
    "cats",
    "cats-127.0.0.1-9001",
    "127.0.0.1",
    9001,
    weight=5,
    version="3",
    tags=("version-3",),
    boot="b1",
    meta=MappingProxyType({"scheme": "https"}),
)

LOOP = Check(f"{CATS.id}:loop", "its prediction loop moves")


def read(data: bytes) -> Instance:
    found = decode("cats", CATS.id, data)
    assert isinstance(found, Instance)
    return found


def test_what_is_written_is_read() -> None:
    """All fields; our tag, boot id and version are written as Consul has them."""
    found = read(encode(CATS, [LOOP], maintenance=None))
    assert (found.address, found.weight, found.version, found.boot) == ("127.0.0.1:9001", 5, "3", "b1")
    assert (found.tags, found.health, found.scheme) == ((TAG, "version-3"), Health.PASSING, "https")
    assert boot_of(encode(CATS, [], maintenance=None)) == "b1"


def test_the_worst_check_is_the_health() -> None:
    """With what it says; a warning has the weight 1, as in Consul."""
    http = Check(f"{CATS.id}:http", "answers its health path", Health.WARNING, "429")
    assert (read(encode(CATS, [LOOP, http], maintenance=None)).health) is Health.WARNING
    assert read(encode(CATS, [LOOP, http], maintenance=None)).weight == 1
    stuck = Check(LOOP.id, LOOP.name, Health.CRITICAL, "stuck")
    found = read(encode(CATS, [stuck, http], maintenance=None))
    assert (found.health, found.output) == (Health.CRITICAL, "stuck")


def test_maintenance_comes_and_goes() -> None:
    """It outweighs the checks, which stand there unchanged; setting it twice is setting it once."""
    plain = encode(CATS, [LOOP], maintenance=None)
    drained = with_maintenance(plain, CATS.id, "repair")
    assert (read(drained).health, read(drained).output) == (Health.MAINTENANCE, "repair")
    assert drained == encode(CATS, [LOOP], maintenance="repair") == with_maintenance(drained, CATS.id, "repair")
    assert (maintenance_of(drained, CATS.id), maintenance_of(plain, CATS.id)) == ("repair", None)
    assert with_maintenance(drained, CATS.id, None) == plain


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
FIELDS = st.sampled_from(("ID", "Service", "Address", "Port", "Tags", "Meta", "Weights"))


@settings(max_examples=60)
@given(st.binary(max_size=64) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_data_is_read_or_left_out(data: bytes) -> None:
    """Nothing is raised, whatever anybody has written."""
    assert isinstance(decode("cats", CATS.id, data), Unusable)
    assert boot_of(data) == ""
    assert maintenance_of(data, CATS.id) is None


@settings(max_examples=60)
@given(FIELDS, JSON)
def test_any_field_may_be_wrong(field: str, value: object) -> None:
    """A registration of which one field was replaced is an instance of that id and service, or left out."""
    entry = json.loads(encode(CATS, [LOOP], maintenance=None))
    entry["Service"][field] = value
    found = decode("cats", CATS.id, json.dumps(entry).encode())
    assert (found.id, getattr(found, "service", "cats")) == (CATS.id, "cats")
