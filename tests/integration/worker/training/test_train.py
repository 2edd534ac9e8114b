"""Photos in folders become versions of a model, a frozen graph and a report, and are served like any other."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.photos import chelsea, chelsea_jpeg, china, china_jpeg, coffee, coffee_jpeg, encode, jpeg
from worker.artifacts.preprocess_config import Preprocess
from worker.artifacts.source import ModelSource
from worker.errors import RetrainError
from worker.inference.model import load
from worker.training import learn
from worker.training.fine_tuning.task import FOLDS
from worker.training.heads.choose import Choice, choose
from worker.training.settings import TrainSettings
from worker.training.train import TrainResult, train

# The network is made by TensorFlow once for the module, and every training exports with it.
pytestmark = pytest.mark.timeout(300)


class Lines:
    """A progress that keeps what is said, and the stages."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.stages: list[str] = []
        self.steps: dict[str, int] = {}

    def say(self, line: str) -> None:
        self.said.append(line)

    def stage(self, name: str, steps: int) -> None:
        self.stages.append(name)
        self.steps[name] = 0

    def advance(self, steps: int = 1) -> None:
        self.steps[self.stages[-1]] += steps


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty crops each of a cat, an espresso and a palace, a copy, a near-duplicate, a wrong label and no photo."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for label, whole in (("cat", chelsea()), ("coffee", coffee()), ("palace", china())):
        (folder / label).mkdir()
        for number in range(20):
            top, left = random.integers(0, whole.shape[0] - 150), random.integers(0, whole.shape[1] - 150)
            crop = np.ascontiguousarray(whole[top : top + 150, left : left + 150])
            (folder / label / f"{number}.jpg").write_bytes(jpeg(crop))
    (folder / "cat" / "Thumbs.db").write_bytes(b"no photo")
    shutil.copy(folder / "cat" / "0.jpg", folder / "cat" / "copy.jpg")
    again = Image.open(folder / "cat" / "1.jpg").resize((120, 120), Image.Resampling.LANCZOS)
    (folder / "cat" / "smaller.png").write_bytes(encode(again, "PNG"))
    again.close()
    (folder / "coffee" / "really a palace.jpg").write_bytes(jpeg(china()[200:400, :200]))
    return folder


@pytest.fixture(scope="module")
def settings(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainSettings:
    """A training that writes all that there is to write."""
    folder = tmp_path_factory.mktemp("made")
    graph = folder / "graph" / "output_graph.pb"
    return TrainSettings(image_dir=photos, out=folder / "model", graph=graph, cache=folder / "cache")


@pytest.fixture(scope="module")
def first(settings: TrainSettings) -> tuple[TrainResult, Lines]:
    """The first run, and what it said."""
    lines = Lines()
    return train(settings, progress=lines), lines


def test_a_retrained_model_learns_and_is_served(first: tuple[TrainResult, Lines], settings: TrainSettings) -> None:
    """It reaches 0.9 on photos that were not trained on, says what it left out, and labels right when it is served."""
    result, lines = first
    assert result.accuracy.share >= 0.9
    assert result.accuracy.low < result.accuracy.share
    assert result.train + result.validation + result.test == 63
    assert (result.labels, result.left_out) == (("cat", "coffee", "palace"), 1)
    assert f"p2p worker --model {settings.out}" in str(result)
    assert sum("Thumbs.db is left out: This is not an image" in line for line in lines.said) == 1
    assert lines.steps["Computing features"] == 64
    assert settings.out is not None
    model = load(ModelSource(path=settings.out, engine="openvino"), name="mine")
    images = [model.decode(photo) for photo in (chelsea_jpeg(), coffee_jpeg(), china_jpeg())]
    assert [model.top(row, 1)[0][0] for row in model.predict(images)] == list(result.labels)
    assert model.describe()["input"]["resize"] == "crop"
    assert model.version == "1"
    model.close()


@pytest.mark.parametrize("entry", [None, "input:0"])
def test_the_frozen_graph_is_read_as_retrains(
    first: tuple[TrainResult, Lines], settings: TrainSettings, photos: Path, entry: str | None
) -> None:
    """By its usual names, which are found without flags, or at its input of floats; labels lie beside it."""
    assert settings.graph is not None
    flags = {} if entry is None else {"input_layer": entry, "output_layer": "final_result:0"}
    cropped = Preprocess(resize="crop", filter="bicubic")
    graph = load(ModelSource(graph=settings.graph, engine="tensorflow", preprocess=cropped, **flags), name="graph")
    model = load(ModelSource(path=settings.out, engine="openvino"), name="model")
    for photo in (photos / label / f"{n}.jpg" for label in ("cat", "coffee", "palace") for n in range(3)):
        own = graph.predict([graph.decode(photo.read_bytes())])
        assert np.allclose(own, model.predict([model.decode(photo.read_bytes())]), atol=0.1)
        assert graph.top(own[0], 1)[0][0] == photo.parent.name
    assert graph.labels == ("cat", "coffee", "palace")
    graph.close()
    model.close()


def test_every_framework_reads_the_version(first: tuple[TrainResult, Lines], settings: TrainSettings) -> None:
    """TensorFlow gives the scores that OpenVINO gives, within what bfloat16 allows, and the same best labels."""
    engines = [load(ModelSource(path=settings.out, engine=name), name=name) for name in ("tensorflow", "openvino")]
    scores = [
        engine.predict([engine.decode(photo) for photo in (chelsea_jpeg(), coffee_jpeg(), china_jpeg())])
        for engine in engines
    ]
    assert np.allclose(*scores, atol=0.1)
    assert [list(rows.argmax(axis=1)) for rows in scores] == [[0, 1, 2]] * 2
    for engine in engines:
        engine.close()


class Page(HTMLParser):
    """What a page loads, and how many pictures it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.figures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.figures += tag == "figure"
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        assert tag not in ("script", "link", "iframe", "object")


def test_the_report_is_one_page(first: tuple[TrainResult, Lines]) -> None:
    """It loads nothing from elsewhere, and report.json says the same: what is alike, what is probably mislabelled."""
    result, _ = first
    text = (result.written / "report" / "index.html").read_text("utf-8")
    page = Page()
    page.feed(text)
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert page.figures >= 5
    assert "url(" not in text
    assert text.count("<svg") == 3
    facts = json.loads((result.written / "report" / "report.json").read_text())
    pairs = [{Path(one).name, Path(other).name} for one, other in facts["duplicates"]]
    assert pairs == [{"0.jpg", "copy.jpg"}, {"1.jpg", "smaller.png"}]
    suspects = {Path(each["file"]).name: each["suggested"] for each in facts["suspects"]}
    assert suspects.get("really a palace.jpg") == "palace"
    assert facts["test"]["photos"] == result.test
    assert [each["reason"][:24] for each in facts["left_out"]] == ["This is not an image of "]
    assert sum(map(sum, facts["confusion"])) == result.test


def test_a_run_on_a_grown_folder_moves_nothing_and_one_that_is_stopped_keeps_what_there_is(
    first: tuple[TrainResult, Lines], settings: TrainSettings, photos: Path, tmp_path: Path
) -> None:
    """The next version has all old photos in their parts. Stopped from the start, it has the first kind of head."""
    assert settings.out is not None
    grown = tmp_path / "grown"
    shutil.copytree(photos, grown)
    (grown / "palace" / "new.jpg").write_bytes(jpeg(china()[:, :400]))
    before = json.loads((settings.out / "photo-parts.json").read_text())
    lines = Lines()
    result = train(replace(settings, image_dir=grown, graph=None), progress=lines, stopped=lambda: True)
    assert result.written.name == "2"
    assert (result.written / "saved_model.pb").is_file()
    assert result.facts["settings"]["head"].startswith("last, C")
    after = json.loads((settings.out / "photo-parts.json").read_text())
    assert {digest: after[digest] for digest in before} == before
    assert len(after) == len(before) + 1
    assert not list(settings.out.glob(".making-*"))


@pytest.fixture
def tuning(first: tuple[TrainResult, Lines], settings: TrainSettings, tmp_path: Path) -> TrainSettings:
    """A fine-tuning of a few steps, with the network and the features that the first run has left."""
    return replace(settings, out=tmp_path / "tuned", graph=None, fine_tune=True, steps=4, batch=16, interval=2)


def test_a_network_with_trained_blocks_is_kept_where_it_is_better(
    tuning: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By cross-validation: here the head without it seems to know nothing. The version is served, and labels right."""

    def knows_nothing(*given: Any, **options: Any) -> Choice:
        choice = choose(*given, **options)
        return replace(choice, logits=np.zeros_like(choice.logits))

    monkeypatch.setattr(learn, "choose", knows_nothing)
    lines = Lines()
    result = train(tuning, progress=lines)
    assert any(line.startswith("Fine-tuning is better and kept: cross-validated accuracy ") for line in lines.said)
    assert lines.steps["Fine-tuning"] == 4 * (FOLDS + 1)
    assert result.facts["settings"]["fine-tuned"] == "yes"
    assert result.accuracy.share >= 0.9
    model = load(ModelSource(path=tuning.out, engine="openvino"), name="tuned")
    images = [model.decode(photo) for photo in (chelsea_jpeg(), coffee_jpeg(), china_jpeg())]
    assert [model.top(row, 1)[0][0] for row in model.predict(images)] == list(result.labels)
    model.close()


def test_trained_blocks_that_are_no_better_are_left_out(tuning: TrainSettings) -> None:
    """Steps that are far too long ruin the network: what is written is the head without them."""
    lines = Lines()
    result = train(replace(tuning, learning_rate=10.0), progress=lines)
    assert any(line.startswith("Fine-tuning is no better and left out: ") for line in lines.said)
    assert result.facts["settings"]["fine-tuned"] == "no"
    assert result.accuracy.share >= 0.9


def test_fine_tuning_that_is_stopped_costs_nothing_that_there_was(tuning: TrainSettings) -> None:
    """Ctrl-C in its midst: the head without it is written."""
    lines = Lines()
    result = train(replace(tuning, steps=100_000), progress=lines, stopped=lambda: lines.stages[-1:] == ["Fine-tuning"])
    assert "Stopped before fine-tuning could be judged: the head without it is kept." in lines.said
    assert result.facts["settings"]["fine-tuned"] == "no"
    assert result.accuracy.share >= 0.9


def test_too_few_photos_stop_it(settings: TrainSettings, tmp_path: Path) -> None:
    """A label whose photos cannot be read is an error that counts those that can; so is a folder as a file."""
    for label in ("a", "b"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(6):
            (tmp_path / "photos" / label / f"{number}.jpg").write_bytes(chelsea_jpeg() if label == "a" else b"bad")
    with pytest.raises(RetrainError, match="'b' has 0 usable photos"):
        train(replace(settings, image_dir=tmp_path / "photos", out=tmp_path / "out", graph=None), progress=Lines())
    (tmp_path / "file").touch()
    with pytest.raises(RetrainError, match="name another folder with --out"):
        train(replace(settings, out=tmp_path / "file"), progress=Lines())
