"""The engines that exist, installed or not."""

from __future__ import annotations

import pytest

from worker.artifacts.source import ModelSource
from worker.engines.frameworks import Framework
from worker.errors import ModelError


def test_an_engine_that_is_missing_says_what_to_install() -> None:
    """The extra is named by the error."""
    absent = Framework("none", "no.such.module", "no_such_package", "no-such-package", "onnx", frozenset({"onnx"}))
    assert (absent.installed, absent.version) == (False, None)
    with pytest.raises(ModelError, match=r"engine none is not installed: pip install 'p2p-serving\[onnx\]'"):
        absent.load(ModelSource())
