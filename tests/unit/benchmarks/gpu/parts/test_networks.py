"""The models of a run, and the engine that predicts with them on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.gpu.figures import Figure
from benchmarks.gpu.setup import Setup

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'p2p-serving[torch]'")

from benchmarks.gpu.parts import engine_rates, networks  # noqa: E402 - needs torch


def test_the_engine_agrees_with_the_network_in_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A seeded network tells pictures apart, and bf16 changes its scores a little."""
    setup = Setup(tmp_path, "cpu", 0.01, "small")
    found: list[Figure] = []
    networks.measure(setup, found.append)
    monkeypatch.setattr(engine_rates, "SIZES", (1, 2))
    monkeypatch.setattr(engine_rates, "PICTURES", 4)
    monkeypatch.setattr(networks, "SETTLING", 4)
    monkeypatch.setattr("worker.engines.torch.device.has_bf16", lambda: True)
    engine_rates.measure(setup, found.append)
    figures = {figure.what: figure for figure in found}
    assert figures["f32: same best class as the CPU in float32"].value == 1.0
    assert figures["f32: largest difference of a score"].value == 0.0
    assert 0 < figures["bf16: largest difference of a score"].value < 0.05
    assert all(figures[f"{name}, batches of 2"].value > 0 for name in ("TorchScript, bf16", "torch.export, f32"))
    answers = networks.softmax_network("small")(networks.pictures(4)).argmax(1)
    assert len(set(answers.tolist())) > 1
