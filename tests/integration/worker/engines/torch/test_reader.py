"""Files of TorchScript that cannot be fed with one image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worker.artifacts.source import ModelSource
from worker.errors import ModelError
from worker.inference.load_model import load_model

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'p2p-serving[torch]'")


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_several_inputs_of_torchscript_are_refused(tmp_path: Path) -> None:
    """Its file says neither types nor shapes; the error names the inputs and the kind of file that does."""

    class Sum(torch.nn.Module):  # type: ignore[misc, name-defined]  # PyTorch is imported without types
        def forward(self, left: Any, right: Any) -> Any:
            return left + right

    torch.jit.trace(Sum(), (torch.zeros(1), torch.zeros(1))).save(str(tmp_path / "sum.pt"))
    with pytest.raises(ModelError, match=r"several inputs \(left, right\).*torch\.export\.save as \.pt2"):
        load_model(ModelSource(path=tmp_path / "sum.pt", cache=tmp_path), name="m")
