"""Engines are compared once, the fastest that agrees serves, and the next start knows it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.models.dense_model import IMAGENET, answers, write_onnx
from tests.support.photos import chelsea_jpeg
from worker.artifacts.source import ModelSource
from worker.engines.selection.compare import compare
from worker.errors import ModelError
from worker.inference.model import load
from worker.system.cpu import usable_cores


@pytest.fixture
def source(tmp_path: Path) -> ModelSource:
    """An ONNX model that three engines can run, and an empty cache."""
    return ModelSource(path=write_onnx(tmp_path / "model" / "m.onnx"), cache=tmp_path / "cache")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()


def kept(source: ModelSource) -> list[Path]:
    return sorted((source.cache / "engines").glob("*/choice.json"))


def test_the_fastest_that_agrees_is_kept_and_shown(source: ModelSource, caplog: pytest.LogCaptureFixture) -> None:
    """Each engine that can run the model has a row; one line of the log and describe() give the choice; the second
    start compares nothing and answers alike."""
    caplog.set_level(logging.INFO)
    model = load(source, name="m")
    choice = model.describe()["engine_choice"]
    assert json.loads(json.dumps(choice)) == choice
    rates = {row["engine"]: row["images_per_s"] for row in choice["rows"]}
    assert list(rates) == ["onnx", "openvino", "opencv"]
    assert choice["reference"] == "onnx"
    streams = {row["engine"]: row["streams_per_s"] for row in choice["rows"]}
    assert [name for name, rate in streams.items() if rate] == (["onnx"] if usable_cores() > 1 else [])
    busy = {name: max(0.85 * rate["8"], streams[name] or 0) for name, rate in rates.items() if rate}
    assert choice["chosen"] == model.engine.name == max(busy, key=lambda name: rates[name]["1"] * busy[name])
    assert all(row["left_out"] or row["difference"] < 1e-3 for row in choice["rows"])
    assert sum("the fastest that agrees with onnx. Images a second" in line for line in caplog.messages) == 1
    picture = model.decode(chelsea_jpeg())
    assert np.abs(model.predict([picture]) - answers([picture], *IMAGENET)).max() < 1e-4
    caplog.clear()
    again = load(source, name="m")
    assert again.describe() == model.describe()
    assert not any("Comparing" in line for line in caplog.messages)
    assert len(kept(source)) == 1


def test_labels_of_another_number_end_the_start_before_engines_are_compared(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference tells how many classes there are: nothing else is loaded or timed if the labels are not as many."""
    (tmp_path / "labels.txt").write_text("one\n")
    monkeypatch.setattr("worker.engines.selection.compare._checked", None)
    with pytest.raises(ModelError, match="names 1 classes but the model has"):
        compare(replace(source, labels=tmp_path / "labels.txt"), names=("onnx", "openvino"), folder=tmp_path)


def test_what_is_damaged_or_fails_is_chosen_anew(source: ModelSource, caplog: pytest.LogCaptureFixture) -> None:
    """A kept choice that cannot be read, or whose engine does not load, is replaced, with a line in the log."""
    load(source, name="m").close()
    (file,) = kept(source)
    for damage in ('{"choice": {}}', file.read_text().replace('"file": null', '"file": "gone.onnx"')):
        file.write_text(damage)
        caplog.clear()
        assert load(source, name="m").engine.classes == 4
        assert sum("choosing anew" in line for line in caplog.messages) == 1
        assert json.loads(file.read_text())["options"]["file"] is None


def test_another_model_or_flag_is_another_choice(source: ModelSource) -> None:
    """The choice hangs on the files' content: other weights under the same name are compared again."""
    load(source, name="m").close()
    assert source.path is not None
    write_onnx(source.path, order="nhwc", dtype="uint8")
    assert load(source, name="m").describe()["input"]["pixels"] == "0..255, rgb"
    assert len(kept(source)) == 2


def test_several_workers_that_start_at_once_compare_once(source: ModelSource) -> None:
    """Of two processes with an empty cache one compares; both serve with the same engine."""
    code = (
        "import logging, sys; from pathlib import Path; from worker.inference.model import ModelSource, load\n"
        "logging.basicConfig(level=logging.INFO)\n"
        "print(load(ModelSource(path=Path(sys.argv[1]), cache=Path(sys.argv[2])), name='m').engine.name)"
    )
    command = [sys.executable, "-c", code, str(source.path), str(source.cache)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=100) for process in both]
    assert said[0][0] == said[1][0] != ""
    assert sum(log.count("Comparing the engines") for _, log in said) == 1
    assert [part.name for part in (source.cache / "engines").iterdir() if part.name.startswith("making")] == []


def test_bf16_is_served_only_where_there_is_bf16(source: ModelSource) -> None:
    """With --precision bf16 only OpenVINO is fit, if the processor has it; else each engine's reason is told."""
    from dataclasses import replace

    from worker.engines.openvino.runtime import openvino

    wanted = replace(source, precision="bf16")
    if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        choice = load(wanted, name="m").describe()["engine_choice"]
        assert (choice["chosen"], choice["precision"]) == ("openvino", "bf16")
        assert [row["left_out"] for row in choice["rows"] if row["engine"] == "onnx"] != [""]
        return
    with pytest.raises(ModelError, match=r"onnx computes in f32 only.*This processor has no bf16.*--precision f32"):
        load(wanted, name="m")
    assert kept(source) == []


def test_a_cache_that_cannot_be_written_is_named(source: ModelSource) -> None:
    """Without a place for the choice the error says where it should have gone, and the way out."""
    source.cache.touch()
    with pytest.raises(ModelError, match=r"choice of an engine cannot be kept in .*--engine"):
        load(source, name="m")
