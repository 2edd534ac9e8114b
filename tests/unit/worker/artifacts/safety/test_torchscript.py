"""Functions of PyTorch that touch files are found in TorchScript's source under whatever name they are called."""

from __future__ import annotations

import pytest

from worker.artifacts.safety.torchscript import unsafe_in_source


@pytest.mark.parametrize(
    "line",
    [
        'torch.save(x, "/tmp/x")',
        "ops.aten.save(x, name)",
        "other . save (x, name)",
        'torch.from_file("/etc/passwd", False, 4)',
        'getattr(torch, "save")(x, name)',
        'getattr(torch, "sa" "ve")(x, name)',
        'getattr(torch, "\\163ave")(x, name)',
        "ops.c10d.send(x)",
        "__torch__.torch.classes.dist_rpc.WorkerInfo",
        'a = "text # " ; torch.save(x, "b")',
    ],
)
def test_a_dangerous_name_is_found(line: str) -> None:
    """Another name of the module, spaces, and an attribute's name as a string hide nothing."""
    assert unsafe_in_source(f"class M(Module):\n  def forward(self, x):\n    {line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "x = torch.conv2d(x, w, None, [1, 1])",
        'l = getattr(self, "1")',
        '_0 = uninitialized(Tensor); ops.prim.RaiseException("cannot save")',
        "x = ops.quantized.linear(x, packed)  # save",
        "saved = self.save_me",
    ],
)
def test_a_network_passes(line: str) -> None:
    """Layers by number, messages and names that only contain a dangerous one are no danger."""
    assert unsafe_in_source(f"class M(Module):\n  def forward(self, x):\n    {line}\n") is None
