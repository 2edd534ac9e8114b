"""Files of torch.export with several inputs, or an input that is no image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.models.dense_model import write_torch
from tests.support.models.tensor_models import INPUTS, OUTPUTS, rows, totals, write_torch_export
from worker.artifacts.signatures.takes_tensors import takes_tensors
from worker.artifacts.source import ModelSource
from worker.engines.tensors import Tensors, joined
from worker.errors import ModelError
from worker.inference.load_model import load_model
from worker.inference.tensor_model import TensorModel

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'p2p-serving[torch]'")


def loaded(path: Path) -> TensorModel:
    model = load_model(ModelSource(path=path, cache=path.parent), name="m")
    assert isinstance(model, TensorModel)
    return model


def exported(path: Path, function: Any, *example: Any, dynamic: Any = None) -> Path:
    """A function of tensors as a file of torch.export; gives `path` back."""

    class Module(torch.nn.Module):  # type: ignore[misc, name-defined]  # PyTorch is imported without types
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, *values: Any) -> Any:
            return function(self, *values)

    torch.export.save(torch.export.export(Module().eval(), example, dynamic_shapes=dynamic), path)
    return path


@pytest.mark.parametrize("first", [None, 2])
def test_several_inputs_and_outputs_by_name(tmp_path: Path, first: int | None) -> None:
    """Names are those of forward's parameters and of the dict that it gives; a fixed batch is filled and cut."""
    model = loaded(write_torch_export(tmp_path / "sums.pt2", first=first))
    assert [(spec.name, spec.datatype, spec.shape) for spec in model.signature.inputs or ()] == INPUTS
    assert [(spec.name, spec.datatype, spec.shape) for spec in model.signature.outputs or ()] == OUTPUTS
    three, one = model.predict([rows(3), rows(1)])
    assert joined(three).arrays["total"].tolist() == totals(3)
    assert joined(three).arrays["doubled"].tolist() == (rows(3).arrays["numbers"] * 2).tolist()
    assert joined(one).arrays["total"].tolist() == totals(1)
    described = model.describe()
    assert (described["engine"], described["platform"]) == ("torch", "pytorch_export")
    model.close()


def test_a_table_and_outputs_without_names(tmp_path: Path) -> None:
    """A tuple's outputs are numbered; what the model writes into its input stays its own."""
    table = torch.ones(2, 3, dtype=torch.int64)
    path = exported(tmp_path / "m.pt2", lambda self, table: (table.add_(1).clone(), table.float() / 2), table)
    model = loaded(path)
    assert [spec.name for spec in model.signature.outputs or ()] == ["output_0", "output_1"]
    given = np.array([[1, 2, 3]])
    (found,) = model.predict([Tensors({(model.signature.inputs or ())[0].name: given})])
    assert joined(found).arrays["output_0"].tolist() == [[2, 3, 4]]
    assert joined(found).arrays["output_1"].tolist() == [[1.0, 1.5, 2.0]]
    assert given.tolist() == [[1, 2, 3]]
    model.close()


@pytest.mark.parametrize("suffix", [".pt2", ".pt"])
def test_a_classifier_of_images_stays_one(tmp_path: Path, suffix: str) -> None:
    """One input that can be images; so does TorchScript, which does not say what it takes, and a damaged file."""
    path = write_torch(tmp_path / f"m{suffix}")
    assert not takes_tensors(path, "torchexport" if suffix == ".pt2" else "torchscript")
    path.write_bytes(path.read_bytes()[:-30])
    assert not takes_tensors(path, "torchexport")


def test_what_cannot_be_batched_is_refused(tmp_path: Path) -> None:
    """A number, a type that no request has, and a state that would pass from caller to caller."""
    two, complex_ = torch.zeros(2, 2), torch.zeros(2, 2, dtype=torch.complex64)
    paths = {
        "is no tensor": exported(tmp_path / "0.pt2", lambda self, x, y: x * y, two, 3),
        "complex64, which no tensor": exported(tmp_path / "1.pt2", lambda self, x: x.abs(), complex_),
        r"keeps a state.*eval\(\)": exported(tmp_path / "2.pt2", lambda self, x: x + self.calls.view(1).add_(1), two),
    }
    for sentence, path in paths.items():
        with pytest.raises(ModelError, match=sentence):
            loaded(path)
