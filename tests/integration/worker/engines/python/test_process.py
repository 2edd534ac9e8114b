"""A Python model's process, as the worker's threads see its end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worker.engines.python.process import ChildProcess, ProcessEnded

CODE = """
import numpy as np
from numpy.typing import NDArray

class Doubles:
    def load(self):
        pass

    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return 2 * x
"""


def test_whoever_waits_for_a_process_that_another_thread_ends_is_told_that_it_has_ended(tmp_path: Path) -> None:
    """The end may come before a batch is sent, or before the wait for its answer: the batch is not at fault."""
    code = tmp_path / "model.py"
    code.write_text(CODE)
    child = ChildProcess(code, name="doubles")
    child.described()
    (outputs,) = child.predict({"x": np.ones(1)})
    assert [list(array) for array in outputs.arrays.values()] == [[2.0]]
    child.end()
    with pytest.raises(ProcessEnded):
        child.predict({"x": np.ones(1)})
    with pytest.raises(ProcessEnded):
        child.described()
