"""A cascade whose steps are Python models in its own process: a detector, and a classifier of what is in its box."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import numpy as np
import pytest
import pytest_asyncio

from tests.support.consul_process import ConsulProcess
from tests.support.workers.cascade_worker import cascade_worker
from tests.support.workers.echo_worker import EchoWorker, Said
from worker.artifacts.source import ModelSource
from worker.cascade.crop import encoded
from worker.errors import ModelError

BLACK, RED, BLUE = (0, 0, 0), (255, 0, 0), (0, 0, 255)

pytestmark = pytest.mark.asyncio(loop_scope="module")

DETECTOR = """
import numpy as np

class WhitePart:
    def load(self) -> None: ...

    def predict(self, images: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        return [self.found(image) for image in images]

    def found(self, image):
        height, width = image.shape[:2]
        if (image[0, 0] == COLOUR).all():
            raise ValueError("a corner of this colour")
        rows, columns = np.nonzero((image == 255).all(axis=2))
        if not len(rows):
            pixels, scores = np.empty((0, 4)), np.empty(0)
        else:
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            pixels, scores = np.array([[0, 0, 1, 1], box], float), np.array([0.1, 0.9])
        return {"places": pixels, "boxes": pixels / [width, height, width, height], "scores": scores}
"""
"""It finds the white part of an image, and fails for a corner of one colour."""

CLASSIFIER = """
import numpy as np

class Measures:
    labels = ["width", "height", "dark"]

    def load(self) -> None: ...

    def predict(self, images: list[np.ndarray]) -> np.ndarray:
        found = np.array([[i.shape[1], i.shape[0], (i < 255).any(axis=2).sum()] for i in images], float)
        return found / found.sum(axis=1, keepdims=True)
"""
"""Scores are an image's width, its height and the number of its pixels that are not white, as shares of their sum."""

BOTH = """
[steps.parts]
model = "detector.py"
boxes = {}

[steps.by_parts]
model = "classifier.py"
crop = "parts"

[steps.pixels]
model = "pixel_detector.py"
boxes = { boxes = "places", units = "pixels" }
optional = true

[steps.by_pixels]
model = "classifier.py"
crop = "pixels"
labels = { width = "columns", height = "rows", dark = "shade" }

[answer]
average = ["by_parts", "by_pixels"]
"""


def picture(left: int = 0, top: int = 0, right: int = 0, bottom: int = 0, *, corner: tuple[int, ...] = BLACK) -> bytes:
    """A black picture of 64 x 48 pixels with a white part; `corner` is the colour of the first pixel."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[0, 0] = corner
    pixels[top:bottom, left:right] = 255
    return encoded(pixels)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a detector that fails for red corners, one that fails for blue ones, and a classifier."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "detector.py").write_text(f"COLOUR = {RED}\n{DETECTOR}")
    (folder / "pixel_detector.py").write_text(f"COLOUR = {BLUE}\n{DETECTOR}")
    (folder / "classifier.py").write_text(CLASSIFIER)
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(shared_consul: ConsulProcess, models: Path) -> AsyncIterator[EchoWorker]:
    """A cascade that crops by boxes in parts of the image, and by boxes in pixels."""
    async with cascade_worker(shared_consul, models, BOTH, service="both", source=ModelSource(cache=models)) as worker:
        yield worker


def scores(said: Said) -> dict[str, float]:
    """The labels of an answer, with their scores."""
    assert said.status == 200, said.body
    return dict(said.json)


def statuses(said: Said) -> dict[str, str]:
    """What became of each step, by the header Server-Timing."""
    entries = (entry.split(";") for entry in said.headers["Server-Timing"].split(", "))
    return {
        name: rest[-1].removeprefix('desc="').rstrip('"') if "desc" in rest[-1] else "ran" for name, *rest in entries
    }


async def test_a_classifier_sees_what_a_detector_finds(both: EchoWorker) -> None:
    """The box with the best score is cut out to the pixel, whether it counts in parts of the image or in pixels."""
    found = scores(await both.post("/?top=6", picture(8, 6, 28, 11)))
    assert found == pytest.approx(
        {"width": 0.4, "height": 0.1, "dark": 0, "columns": 0.4, "rows": 0.1, "shade": 0}, abs=1e-5
    )


async def test_several_images_each_have_their_own_box(both: EchoWorker) -> None:
    """Images of one request are detected together, and each is cut by itself; one without a box has no scores."""
    form = aiohttp.FormData()
    for image in (picture(0, 0, 30, 10), picture(), picture(60, 8, 64, 48)):
        form.add_field("data", image, filename="a.png")
    async with both.http.post(f"{both.url}/?top=6", data=form) as answer:
        wide, none, high = map(dict, await answer.json())
    assert (wide["width"], wide["rows"]) == pytest.approx((30 / 80, 10 / 80), abs=1e-5)
    assert (high["width"], high["rows"]) == pytest.approx((4 / 88, 40 / 88), abs=1e-5)
    assert set(none.values()) == {0.0}


async def test_without_a_box_the_next_step_is_left_out(both: EchoWorker) -> None:
    """Detectors that find nothing have run, and the header says so."""
    said = await both.post("/?top=6", picture())
    assert set(scores(said).values()) == {0.0}
    steps = statuses(said)
    assert (steps["parts"], steps["pixels"]) == ("ran", "ran")
    assert (steps["by_parts"], steps["by_pixels"]) == ("skipped", "skipped")


async def test_a_detector_that_fails(both: EchoWorker) -> None:
    """What it raises is an error of the model; where its step is optional, the others answer without it."""
    said = await both.post("/", picture(8, 6, 28, 11, corner=RED))
    assert (said.status, said.error.startswith("Step parts: The model failed")) == (500, True)
    said = await both.post("/?top=6", picture(8, 6, 28, 11, corner=BLUE))
    found, steps = scores(said), statuses(said)
    assert (found["width"], found["columns"]) == pytest.approx((0.8, 0), abs=1e-5)
    assert (steps["pixels"], steps["by_pixels"], steps["by_parts"]) == ("failed", "skipped", "ran")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[steps.a]\nmodel = "detector.py"', r"Step a: .*detector\.py gives tensors, not labels\. For boxes write"),
        (
            '[steps.a]\nmodel = "classifier.py"\nboxes = {}\n[steps.b]\nservice = "b"\ncrop = "a"',
            r"Step a: .*classifier\.py gives labels, not boxes\. Leave out boxes",
        ),
        (
            '[steps.a]\nmodel = "detector.py"\nboxes = { scores = "confidence" }\n[steps.b]\nservice = "b"\ncrop = "a"',
            r"Step a: .*detector\.py does not answer with the outputs boxes \[n, 4\] and confidence",
        ),
        (
            '[steps.a]\nmodel = "classifier.py"\n[steps.b]\nservice = "b"\nwhen = { step = "a", labels = ["widht"] }',
            "Step b.*b",
        ),
    ],
)
async def test_models_that_do_not_fit_are_refused_at_load(
    shared_consul: ConsulProcess, models: Path, text: str, says: str
) -> None:
    """Tensors in place of labels, labels in place of boxes, outputs of other names, labels that a model lacks."""
    with pytest.raises(ModelError, match=says):
        async with cascade_worker(shared_consul, models, text, service="refused", source=ModelSource(cache=models)):
            pass
