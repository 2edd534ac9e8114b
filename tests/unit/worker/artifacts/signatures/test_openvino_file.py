"""Which inputs and outputs an OpenVINO .xml file has, by its text alone."""

from __future__ import annotations

import pytest

from worker.artifacts.damaged import Damaged
from worker.artifacts.signatures.openvino_file import entries_of
from worker.artifacts.signatures.tensor_shapes import Entry

LOOP = """<layer name="loop" type="Loop"><body><layers>
<layer name="inner" type="Parameter"><data shape="1,2" element_type="f32"/></layer>
<layer name="inner_result" type="Result"/></layers></body></layer>"""


def net(*layers: str) -> memoryview:
    return memoryview(
        f'<?xml version="1.0"?><net name="m" version="11"><layers>{"".join(layers)}</layers></net>'.encode()
    )


def parameter(shape: str) -> str:
    return f'<layer id="0" name="x" type="Parameter"><data shape="{shape}" element_type="f32"/></layer>'


@pytest.mark.parametrize(
    ("shape", "rank"), [("?,4", 2), ("1..8,4", 2), ("2,8,8,3", 4), ("7", 1), ("", 0), ("...", None)]
)
def test_the_rank_of_an_input_is_in_its_shape(shape: str, rank: int | None) -> None:
    """A dynamic length counts as an axis; a dynamic rank is unknown."""
    assert entries_of(net(parameter(shape), '<layer name="y" type="Result"/>')) == (
        [Entry("x", rank)],
        [Entry("y", None)],
    )


def test_the_body_of_a_loop_is_not_the_model() -> None:
    """Only the outermost layers are inputs and outputs."""
    inputs, outputs = entries_of(net(parameter("?,4"), LOOP, '<layer name="y" type="Result"/>'))
    assert [entry.name for entry in (*inputs, *outputs)] == ["x", "y"]


@pytest.mark.parametrize(
    "content", [b"", b"<net>", b"no model", b'<!DOCTYPE net [<!ENTITY a "aaaa">]><net name="&a;"></net>', b"\xff\x00"]
)
def test_what_is_no_model_is_damaged(content: bytes) -> None:
    """That includes text that declares entities, which can grow without end."""
    with pytest.raises(Damaged):
        entries_of(memoryview(content))
