"""Output tensors as JSON, by rows and by columns."""

from __future__ import annotations

import json

import numpy as np
import pytest

from worker.engines.tensors import Tensors
from worker.errors import ModelError
from worker.protocols.tensor_json import array_json, columns_json, flat_json, rows_json

TEXTS = np.array([b"a", "é".encode()], dtype=object)


def test_rows_and_columns() -> None:
    """Several outputs are objects; an only one is its value alone."""
    both = Tensors({"x": np.array([[1, 2], [3, 4]]), "t": TEXTS})
    assert [json.loads(row) for row in rows_json([both])] == [{"x": [1, 2], "t": "a"}, {"x": [3, 4], "t": "é"}]
    assert json.loads(columns_json([both.part(0, 1), both.part(1, 2)])) == {"x": [[1, 2], [3, 4]], "t": ["a", "é"]}
    assert rows_json([Tensors({"x": np.array([0.5, 2], np.float32)})]) == ["0.5", "2.0"]


def test_rows_may_differ_in_shape() -> None:
    """Boxes of each image, as many as there are, none included."""
    parts = [Tensors({"x": np.zeros((1, count, 2), np.int32)}) for count in (2, 0)]
    assert [json.loads(row) for row in rows_json(parts)] == [[[0, 0], [0, 0]], []]


@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f2", "f4", "f8"])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 1, 2), (2, 0), (0,)])
def test_numbers_come_back(dtype: str, shape: tuple[int, ...]) -> None:
    """Every number is written so that reading it gives the same one."""
    array = (np.arange(np.prod(shape)) / 3).astype(dtype).reshape(shape)
    assert np.array_equal(np.array(json.loads(array_json(array)), array.dtype).reshape(shape), array)
    assert np.array_equal(np.array(json.loads(flat_json(array)), array.dtype), array.ravel())


def test_bytes_that_are_no_text() -> None:
    """As TensorFlow Serving has them: base64, also where the name says that they are bytes."""
    assert json.loads(array_json(np.array([b"\xff"], dtype=object))) == [{"b64": "/w=="}]
    assert json.loads(array_json(TEXTS[:1], name="image_bytes")) == [{"b64": "YQ=="}]


def test_what_is_no_number_is_no_json() -> None:
    """JSON has no NaN."""
    for dtype in (np.float32, np.float64):
        with pytest.raises(ModelError, match="not a number"):
            array_json(np.array([np.nan], dtype))
