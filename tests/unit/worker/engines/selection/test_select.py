"""Which engines may serve a model."""

from __future__ import annotations

import pytest

from worker.artifacts.source import ModelSource
from worker.engines.selection.select import candidates
from worker.errors import ModelError


def test_an_unknown_engine_is_answered_with_the_known() -> None:
    """--engine with a wrong name lists the right ones; one that cannot run the model names those that can."""
    assert [one.name for one in candidates(ModelSource(engine="tensorflow"), "keras")] == ["tensorflow"]
    with pytest.raises(ModelError, match="no engine 'caffe': --engine takes auto, echo, tensorflow, onnx"):
        candidates(ModelSource(engine="caffe"), "caffe")
    with pytest.raises(ModelError, match="cannot run a model of the kind caffe: --engine takes opencv"):
        candidates(ModelSource(engine="tensorflow"), "caffe")
