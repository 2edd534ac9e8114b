"""`p2p retrain` and `p2p label` speak before they load a framework, which takes seconds."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import typer

import worker.cli.label
import worker.cli.retrain


class SlowModule(types.ModuleType):
    """A module in whose place nothing is imported; it keeps what had been written when it was asked for."""

    def __init__(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__(name)
        self._capsys = capsys
        self.written = ""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        said = self._capsys.readouterr()
        self.written += said.out + said.err
        raise typer.Exit


def test_retrain_counts_the_photos_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was found, and what takes long now, is a line of its own before TensorFlow is imported."""
    for photo in ("rose/1.jpg", "rose/below/2.jpg", "daisy/3.jpg"):
        (tmp_path / photo).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / photo).touch()
    slow = SlowModule("worker.training.retrain", capsys)
    monkeypatch.setitem(sys.modules, slow.__name__, slow)
    with pytest.raises(typer.Exit):
        worker.cli.retrain.retrain(image_dir=tmp_path, out=tmp_path / "out")
    assert slow.written == "Found 3 photos of 2 labels. Loading TensorFlow and the default model ...\n"


def test_errors_about_folders_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is not there needs no TensorFlow to be told."""
    slow = SlowModule("worker.training.retrain", capsys)
    monkeypatch.setitem(sys.modules, slow.__name__, slow)
    with pytest.raises(typer.Exit) as ended:
        worker.cli.retrain.retrain(image_dir=tmp_path / "none", out=tmp_path / "out")
    assert (ended.value.exit_code, slow.written) == (1, "")
    assert "There is no folder" in capsys.readouterr().err


def test_label_says_that_it_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line comes before the model's module; where no file is there, the model is not loaded at all."""
    slow = SlowModule("worker.inference.model", capsys)
    monkeypatch.setitem(sys.modules, slow.__name__, slow)
    monkeypatch.delitem(sys.modules, "worker.cli.label_files", raising=False)
    (tmp_path / "cat.jpg").touch()
    with pytest.raises(typer.Exit):
        worker.cli.label.label([str(tmp_path / "cat.jpg"), "none.jpg"])
    assert slow.written.startswith("Loading the model; at its first use engines are compared")
    slow.written = ""
    with pytest.raises(typer.Exit) as ended:
        worker.cli.label.label(["none.jpg"])
    assert (ended.value.exit_code, slow.written) == (1, "")
