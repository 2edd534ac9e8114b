"""`p2p retrain` and `p2p label` speak before they load a framework, which takes seconds."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.testing

import worker.cli.label
import worker.cli.retrain
from worker.training.features.distortions import Distortions


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
    """What was found is told before anything is imported that takes long."""
    for photo in ("rose/1.jpg", "rose/below/2.jpg", "daisy/3.jpg"):
        (tmp_path / photo).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / photo).touch()
    slow = SlowModule("worker.training.train", capsys)
    monkeypatch.setitem(sys.modules, slow.__name__, slow)
    with pytest.raises(typer.Exit):
        worker.cli.retrain.retrain(image_dir=tmp_path, out=tmp_path / "out")
    assert slow.written == "Found 3 photos of 2 labels.\nStarting ...\n"


def test_errors_about_folders_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is not there needs no TensorFlow to be told."""
    slow = SlowModule("worker.training.train", capsys)
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


class Told(Exception):
    """Carries the settings that the command gives to the training."""


@pytest.mark.parametrize("mark", ["-", "_"])
def test_flags_of_retrain_py_are_taken_in_both_spellings(
    mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All flags that the article's retrain.py has are taken, and those with an effect reach the training."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").touch()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.jpg").touch()
    module = types.ModuleType("worker.training.train")

    def train(settings: Any, **_: Any) -> None:
        raise Told(settings)

    module.train = train  # type: ignore[attr-defined]  # a stand-in
    monkeypatch.setitem(sys.modules, module.__name__, module)
    flags = {
        "image_dir": str(tmp_path), "output_graph": "g.pb", "output_labels": "l.txt", "how_many_training_steps": "7",
        "learning_rate": "0.5", "testing_percentage": "20", "validation_percentage": "5", "eval_step_interval": "3",
        "train_batch_size": "9", "test_batch_size": "-1", "validation_batch_size": "100", "summaries_dir": "s",
        "bottleneck_dir": "b", "final_tensor_name": "end", "random_crop": "1", "random_scale": "2",
        "random_brightness": "3", "architecture": "mobilenet_1.0_224", "model_dir": "m",
        "intermediate_store_frequency": "0", "intermediate_output_graphs_dir": "i",
    }  # fmt: skip
    spelled = [part for name, value in flags.items() for part in (f"--{name.replace('_', mark)}", value)]
    spelled += [f"--flip{mark}left{mark}right", f"--print{mark}misclassified{mark}test{mark}images"]
    app = typer.Typer()
    app.command()(worker.cli.retrain.retrain)
    outcome = typer.testing.CliRunner().invoke(app, spelled)
    assert isinstance(outcome.exception, Told), outcome.output
    (settings,) = outcome.exception.args
    assert (settings.image_dir, settings.graph, settings.output_labels) == (tmp_path, Path("g.pb"), Path("l.txt"))
    assert (settings.shares.test, settings.shares.validation, settings.final) == (20, 5, "end")
    assert (settings.steps, settings.learning_rate, settings.interval, settings.batch) == (7, 0.5, 3, 9)
    assert settings.distortions == Distortions(True, 1, 2, 3)
    assert (settings.architecture, settings.features_folder) == ("mobilenet_1.0_224", Path("b"))


def test_a_target_is_needed(tmp_path: Path) -> None:
    """Without --out and --output-graph nothing would be written, so that is a mistake of usage."""
    with pytest.raises(typer.BadParameter, match="name the model's folder with --out"):
        worker.cli.retrain.retrain(image_dir=tmp_path)
