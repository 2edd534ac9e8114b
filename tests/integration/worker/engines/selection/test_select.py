"""Engines are compared once, the fastest that agrees serves, and the next start knows it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.models.dense_model import IMAGENET, answers, write_onnx
from tests.support.photos import chelsea_jpeg
from worker.artifacts.source import ModelSource
from worker.engines.base import Engine
from worker.engines.selection.compare import compare
from worker.engines.selection.report import Candidate, LoadOptions
from worker.engines.selection.saved_choice import load_with
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
    monkeypatch.setattr("worker.engines.selection.compare.checked", None)
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


def in_either_precision(
    monkeypatch: pytest.MonkeyPatch, source: ModelSource, folder: Path, *, wrong: int
) -> dict[str, Any]:
    """The choice among onnx and openvino where openvino's bf16 is twice as fast and errs in `wrong` of 40 images.

    It computes in f32 in fact, so that every processor has it.
    """
    images = folder / "images"
    images.mkdir(parents=True)
    random = np.random.default_rng(5)
    pictures = random.integers(0, 256, (40, 12, 12, 3), np.uint8)
    for number, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(images / f"{number:02}.png")
    erring = {pixels.tobytes() for pixels in pictures[:wrong]}

    def load_candidate(source: ModelSource, name: str, options: LoadOptions, folder: Path) -> Engine:
        engine = load_with(source, name, replace(options, precision="f32"), folder)
        predict = engine.predict

        def with_errors(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
            rows = zip(images, predict(images), strict=True)
            return np.stack([np.roll(row, image.tobytes() in erring) for image, row in rows])

        if options.precision == "bf16":
            monkeypatch.setattr(engine, "predict", with_errors)
        return engine

    def rates(engines: Mapping[Candidate, Engine], _: Engine) -> dict[Candidate, dict[int, float]]:
        return {each: dict.fromkeys((1, 8), 200.0 if each.precision == "bf16" else 100.0) for each in engines}

    monkeypatch.setattr("worker.engines.selection.answers.load_with", load_candidate)
    monkeypatch.setattr("worker.engines.selection.compare.timed", rates)
    monkeypatch.setattr("worker.engines.selection.compare.timed_streams", lambda *_: {})
    result = folder / "result"
    result.mkdir()
    wanted = replace(source, precision="auto", samples=images, agreement=0.95)
    compare(wanted, names=("onnx", "openvino"), folder=result)
    choice: dict[str, Any] = json.loads((result / "choice.json").read_text())["choice"]
    return choice


def test_auto_takes_a_faster_precision_that_agrees(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """39 of 40 images with the same best class are enough for an agreement of 0.95, and bf16 is the fastest."""
    choice = in_either_precision(monkeypatch, source, tmp_path / "auto", wrong=1)
    assert (choice["chosen"], choice["precision"]) == ("openvino", "bf16")
    assert choice["why"] == "the fastest that agrees with onnx in at least 0.95 of 40 sample images"
    rows = {(row["engine"], row["precision"]): row for row in choice["rows"]}
    assert {key: row["agreement"] for key, row in rows.items() if row["agreement"] is not None} == {
        ("onnx", "f32"): 1.0,
        ("openvino", "f32"): 1.0,
        ("openvino", "bf16"): 0.975,
    }


def test_auto_leaves_out_a_precision_that_disagrees(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 4 of 40 images wrong, bf16 is not served although it is the fastest; the row says why."""
    choice = in_either_precision(monkeypatch, source, tmp_path / "auto", wrong=4)
    assert choice["precision"] == "f32"
    (row,) = [row for row in choice["rows"] if row["precision"] == "bf16"]
    assert row["left_out"] == "sees another best class in 4 of 40 sample images (an agreement of 0.95 is asked for)"
    assert row["agreement"] == 0.9
    assert row["images_per_s"] == {}


def test_auto_looks_at_the_images_beside_the_model(source: ModelSource, caplog: pytest.LogCaptureFixture) -> None:
    """A served model names its precision, with the agreement of every candidate; another image is another choice."""
    caplog.set_level(logging.INFO)
    assert source.path is not None
    wanted = replace(source, precision="auto")
    with pytest.raises(ModelError, match="--precision auto compares number formats on images: name a folder"):
        load(wanted, name="m")
    samples = source.path.parent / "samples"
    samples.mkdir()
    (samples / "cat.jpg").write_bytes(chelsea_jpeg())
    choice = load(wanted, name="m").describe()["engine_choice"]
    fit = {(row["engine"], row["precision"]): row for row in choice["rows"] if not row["left_out"]}
    assert (choice["chosen"], choice["precision"]) in fit
    assert choice["why"] == "the fastest that agrees with onnx in at least 0.99 of 1 sample images"
    assert {row["agreement"] for row in fit.values()} == {1.0}
    assert "1 sample images are too few to show an agreement of 0.99" in caplog.text
    (samples / "cat.jpg").write_bytes(chelsea_jpeg() + b"\0")
    load(wanted, name="m").close()
    assert len(kept(source)) == 2


def test_a_cache_that_cannot_be_written_is_named(source: ModelSource) -> None:
    """Without a place for the choice the error says where it should have gone, and the way out."""
    source.cache.touch()
    with pytest.raises(ModelError, match=r"choice of an engine cannot be kept in .*--engine"):
        load(source, name="m")
