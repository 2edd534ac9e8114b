"""JSON bodies, read whole or a window at a time: the same values, and a sentence for what is wrong."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import BadRequest, TooLarge
from worker.web import large_json
from worker.web.large_json import parse_json

NUMBERS = st.integers(-300, 300) | st.floats(allow_nan=False, width=32)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=60,
)
TENSORS = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3)).flatmap(
    lambda shape: st.integers(0, 1000).map(lambda top: (np.arange(np.prod(shape)) % (top + 1)).reshape(shape).tolist())
)
INDENTS = st.sampled_from([None, 0, 1])


@pytest.fixture(scope="module")
def tiny_windows() -> Iterator[None]:
    """Every document is read in windows of 40 characters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_json, "WINDOW", 40)
        patch.setattr(large_json, "SMALL_BYTES", 0)
        yield


def plain(value: Any) -> Any:
    """With lists for arrays, as the standard parser gives them."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


REFUSED = "refused as a long array of unlike things"


def read_back(text: str) -> Any:
    """What is read of a document; REFUSED where that is why it is not."""
    try:
        return plain(parse_json(text.encode()))
    except BadRequest as refusal:
        if "long JSON array" not in str(refusal):
            raise
        return REFUSED


@given(VALUES, INDENTS)
def test_any_document_reads_as_by_the_standard_parser(tiny_windows: None, value: Any, indent: int | None) -> None:
    """Windows change nothing of what a document means; only long arrays of unlike things may be refused."""
    assert read_back(json.dumps(value, indent=indent)) in (value, REFUSED)


@given(TENSORS, INDENTS, st.booleans())
def test_tensors_are_read_whatever_their_shape(
    tiny_windows: None, tensor: list[Any], indent: int | None, named: bool
) -> None:
    """Nested numbers come out with their shape and values, packed or printed for reading, alone or within objects."""
    document: Any = [{"image": image} for image in tensor] if named else {"instances": tensor, "shape": [1, 2]}
    assert plain(parse_json(json.dumps(document, indent=indent).encode())) == document


@given(VALUES, st.data())
def test_what_is_no_json_is_refused_alike(tiny_windows: None, value: Any, data: st.DataObject) -> None:
    """A document with a character lost is refused exactly where the standard parser refuses it."""
    text = json.dumps(value)
    at = data.draw(st.integers(0, len(text) - 1))
    broken = text[:at] + text[at + 1 :]
    try:
        expected = json.loads(broken)
    except ValueError:
        with pytest.raises(BadRequest):
            parse_json(broken.encode())
        return
    assert read_back(broken) in (expected, REFUSED)


def test_long_arrays_of_pixels_come_as_bytes() -> None:
    """A large body's numbers take a byte each, not a list's 8 and more; short lists beside them stay lists."""
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3))
    read = parse_json(json.dumps({"inputs": [{"shape": [200, 200, 3], "data": image.tolist()}]}).encode())
    (tensor,) = read["inputs"]
    assert (tensor["data"].dtype, tensor["shape"]) == (np.uint8, [200, 200, 3])
    assert (tensor["data"] == image).all()


@pytest.mark.parametrize("padding", ["", " " * large_json.SMALL_BYTES])
@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b"", "not JSON"),
        (b"\xff\xd8\xff\xe0", "UTF-8"),
        (b"[" * 10_000, "deeply"),
        (b'{"a":' * 10_000, "deeply"),
        (b"[" * 10_000 + b"]" * 10_000, "deeply"),
        (b'{"instances": [1' + b"0" * 5000 + b"]}", "digits"),
        (b'{"a": 1} 2', "Extra data"),
        (b'{"a" 1}', "':'"),
        (b'{"a": 1', "','"),
        (b"{1: 1}", "property name"),
        (b'["a', "Unterminated"),
        (b"[1, 2", "','"),
        (b"nothing", "Expecting value"),
    ],
)
def test_what_cannot_be_read_is_said(body: bytes, hint: str, padding: str) -> None:
    """Each kind of broken JSON, small or large, is a 400 whose sentence names it."""
    with pytest.raises(BadRequest, match=hint):
        parse_json(padding.encode() + body)


@pytest.mark.parametrize("pattern", [b"[],", b'"a",', b"[1],[[2]],"])
def test_a_body_of_nothing_but_structure_is_refused(pattern: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body of tiny values, which would take a hundred times its size in memory, is refused on the way."""
    monkeypatch.setattr(large_json, "_STEPS_AT_MOST", 10_000)
    with pytest.raises((TooLarge, BadRequest), match=r"too many values|long JSON array"):
        parse_json(b"[" + pattern * (300_000 // len(pattern)) + b"1]")


def test_others_run_while_a_large_body_is_read() -> None:
    """While 5 MB of pixels are read in a thread, another thread has many turns: one long call would give it none."""
    image = np.random.default_rng(0).integers(0, 256, (10, 224, 224, 3))
    body = json.dumps({"instances": image.tolist()}).encode()
    reading = threading.Thread(target=parse_json, args=(body,))
    turns = 0
    reading.start()
    while reading.is_alive():
        time.sleep(0.001)
        turns += 1
    assert turns > 10


@pytest.mark.parametrize("shape", ['{"instances": [%s]}', '{"inputs": {"image": [%s]}}'])
def test_reading_ends_at_the_first_image_too_many(shape: str) -> None:
    """A list of a million images is refused at its 65th, whatever follows; other lists may be longer."""
    body = shape % ",".join(["[[[0, 0, 0]]]"] * 65 + ["this is no JSON"] * 10_000)
    with pytest.raises(TooLarge, match="At most 64 images"):
        parse_json(body.encode(), images_in=("instances", "inputs"))
    other = json.dumps({"data": ["x"] * 20_000})
    assert len(parse_json(other.encode(), images_in=("instances",))["data"]) == 20_000
