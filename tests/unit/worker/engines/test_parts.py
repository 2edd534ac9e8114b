"""The pure parts of the engines: dimensions told apart, pixels prepared, devices picked, choices made."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.artifacts.source import ModelSource, Preprocess
from worker.engines.adapter import Runner
from worker.engines.base import InputSpec, warmup_images
from worker.engines.device import name_of, pick
from worker.engines.frameworks import Framework
from worker.engines.input_plan import Layout, Plan, feed, layout_of, plan
from worker.engines.pixel_range import pixel_range
from worker.engines.selection.report import Choice, Row, difference, disagreement, fastest
from worker.errors import ModelError
from worker.images.decode import ImageSize
from worker.system.cpu import processor, usable_cores

numbers = st.floats(-300, 300, width=32)


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((None, 224, 200, 3), Layout((224, 200), None, "nhwc")),
        ((1, 3, 224, 200), Layout((224, 200), 1, "nchw")),
        ((None, 1, 28, 28), Layout((28, 28), None, "nchw", grey=True)),
        ((8, 28, 28, 1), Layout((28, 28), 8, "nhwc", grey=True)),
        ((None, None, None, 3), Layout(None, None, "nhwc")),
        ((None, 3, None, None), Layout(None, None, "nchw")),
        ((None, None, None, None), Layout(None, None, "nhwc")),
        ((32, 32, 3), Layout((32, 32), 1, "nhwc", single=True)),
        ((3, 32, 32), Layout((32, 32), 1, "nchw", single=True)),
        ((None, 28, 28), Layout((28, 28), None, "nhwc", grey=True, flat=True)),
    ],
)
def test_dimensions_are_told_apart(shape: tuple[int | None, ...], layout: Layout) -> None:
    """Channels are where a 1 or a 3 is, images may come one by one, without channels, or of any size."""
    assert layout_of(shape) == layout


def test_what_shapes_leave_open_can_be_said() -> None:
    """Where both ends look like channels the usual order counts, and what is said goes before it."""
    assert layout_of((None, 3, 3, 3)).order == "nhwc"
    assert layout_of((None, 3, 3, 3), usual="nchw").order == "nchw"
    assert layout_of((None, 3, 3, 3), usual="nchw", said="nhwc").order == "nhwc"
    for shape in ((None, 10), (None, 5, 32, 32), (1, 2, 3, 4, 5)):
        with pytest.raises(ModelError, match="only"):
            layout_of(shape)


@given(
    st.integers(1, 3),
    st.sampled_from(["nhwc", "nchw"]),
    st.sampled_from(["rgb", "bgr"]),
    st.lists(numbers, min_size=3, max_size=3) | st.lists(numbers, min_size=1, max_size=1),
    st.lists(st.floats(0.5, 300, width=32), min_size=3, max_size=3) | st.just([255.0]),
)
def test_pixels_are_prepared_as_planned(
    count: int, order: str, channels: str, mean: list[float], std: list[float]
) -> None:
    """Whatever the plan: (pixel - mean) / std in the model's order of channels and dimensions, in memory as it lies."""
    pictures = [np.random.default_rng(n).integers(0, 256, (5, 7, 3), dtype=np.uint8) for n in range(count)]
    layout = Layout((5, 7), None, "nchw" if order == "nchw" else "nhwc")
    said = Preprocess(mean=tuple(mean), std=tuple(std), channels="bgr" if channels == "bgr" else "rgb")
    found = feed(plan(layout, said, scaling=((0.0,), (1.0,))), np.float32)(pictures)
    values = np.stack(pictures).astype(np.float64)[..., :: -1 if channels == "bgr" else 1]
    wanted = (values - np.array(mean)) / np.array(std)
    assert found.flags.c_contiguous
    assert found.dtype == np.float32
    assert np.allclose(found, wanted.transpose(0, 3, 1, 2) if order == "nchw" else wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("flat", [True, False])
def test_grey_models_get_luminance(flat: bool) -> None:
    """One channel is the weighted sum of three; a flat model gets it without a dimension of its own."""
    picture = np.random.default_rng(1).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    layout = Layout((4, 6), None, grey=True, flat=flat)
    found = feed(Plan(layout, (4, 6), "rgb", (0.0,), (255.0,)), np.float32)([picture])
    assert found.shape == ((1, 4, 6) if flat else (1, 4, 6, 1))
    assert np.allclose(found.reshape(4, 6), picture @ np.array([0.2989, 0.587, 0.114]) / 255, atol=1e-5)


def test_pixels_that_need_nothing_are_not_copied() -> None:
    """One picture for an input of uint8 is the decoder's own memory, and so are several that lie together."""
    picture = np.zeros((4, 6, 3), np.uint8)
    raw = feed(Plan(Layout((4, 6), None), (4, 6), "rgb", (0.0,), (1.0,)), np.uint8)
    assert np.shares_memory(raw([picture]), picture)
    together = np.zeros((3, 4, 6, 3), np.uint8)
    assert np.shares_memory(raw(together), together)


@pytest.mark.parametrize(
    ("gain", "offset", "wanted"),
    [(1, 0, None), (1 / 255, 0, 1.0), (1 / 127.5, -1, 1.0), (1, -104, 1.0), (2, -1, 255.0), (4.4, -2.1, 255.0)],
)
def test_the_first_step_tells_the_range(gain: float, offset: float, wanted: float | None) -> None:
    """A small gain or a large offset is for pixels of 0..255, any other scaling for 0..1, none tells nothing."""
    found = pixel_range(gain, offset)
    assert (found[1][0] if found else None) == wanted


@pytest.mark.parametrize(
    ("device", "seen", "number"),
    [("auto", 0, None), ("auto", 2, 0), ("cpu", 2, None), ("gpu", 1, 0), ("gpu:1", 2, 1)],
)
def test_a_device_is_picked(device: str, seen: int, number: int | None) -> None:
    """auto takes a GPU where one is seen; cpu never; gpu:N the one that it says."""
    assert pick(device, seen=seen, framework="X") == number
    assert name_of(number) == ("cpu" if number is None else f"gpu:{number}")


@pytest.mark.parametrize(
    ("device", "seen", "message"),
    [
        ("gpu", 0, r"X sees none of this machine's GPUs.*--device cpu"),
        ("gpu:2", 2, r"only 2 \(gpu:0 to gpu:1\)"),
        ("tpu", 0, "takes auto, cpu, gpu or gpu:N, not 'tpu'"),
        ("gpu:", 1, "not 'gpu:'"),
    ],
)
def test_a_device_that_is_not_there_is_said(device: str, seen: int, message: str) -> None:
    """A GPU that the framework does not see is an error with the way out, and so is another word."""
    with pytest.raises(ModelError, match=message):
        pick(device, seen=seen, framework="X")


@pytest.mark.parametrize(
    ("text", "most"), [("max 100000", 10**6), ("50000 100000", 1), ("150000 100000", 2), ("", 10**6)]
)
def test_a_containers_quota_bounds_the_cores(tmp_path: Path, text: str, most: int) -> None:
    """No more cores than the container may use, rounded up, and no fewer than one."""
    (tmp_path / "cpu.max").write_text(text)
    assert 1 <= usable_cores(tmp_path / "cpu.max") <= most
    assert "cores" in processor()


def test_an_engine_that_is_missing_says_what_to_install() -> None:
    """The extra is named by the error."""
    absent = Framework("none", "no.such.module", "no_such_package", "no-such-package", "onnx", frozenset({"onnx"}))
    assert (absent.installed, absent.version) == (False, None)
    with pytest.raises(ModelError, match=r"engine none is not installed: pip install 'p2p-serving\[onnx\]'"):
        absent.load(ModelSource())


# Choosing


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=6), st.floats(0, 0.0009))
def test_close_answers_agree_and_others_do_not(row: list[float], step: float) -> None:
    """Within the tolerance engines agree, even where two classes are as good as equal; beyond it they do not."""
    wanted = np.array([row], np.float32)
    near = wanted + np.float32(step)
    assert disagreement(wanted, near, tolerance=1e-3) == ""
    assert "differs from the reference" in disagreement(wanted, wanted + 0.01, tolerance=1e-3)


def test_another_best_class_is_a_disagreement() -> None:
    """A best class that the reference finds clearly worse is told apart from a tie; shapes and NaN count too."""
    wanted = np.array([[0.5, 0.46, 0.04]], np.float32)
    swapped = np.array([[0.47, 0.49, 0.04]], np.float32)
    assert "another best class in 1 of 1" in disagreement(wanted, swapped, tolerance=0.035)
    assert disagreement(wanted, swapped, tolerance=0.05) == ""
    assert "shape" in disagreement(wanted, wanted[:, :2], tolerance=1)
    assert difference(wanted, wanted * np.float32(np.nan)) == math.inf


def test_the_fastest_of_those_that_agree_is_chosen() -> None:
    """Lone requests and a busy worker count alike; what is left out cannot win; the log's line has the whole table."""
    rows = (
        Row("a", {1: 100.0, 8: 100.0}, 0.0),
        Row("b", {1: 90.0, 8: 120.0}, 2e-4),
        Row("c", {1: 900.0, 8: 900.0}, 0.2, "differs"),
        Row("d", left_out="not installed"),
    )
    assert fastest(rows) == "b"
    assert fastest(rows[2:]) is None
    line = str(Choice("b", "a", "the fastest that agrees with a", "f32", rows[:2] + rows[3:]))
    assert line == (
        "Engine b, f32: the fastest that agrees with a. Images a second in batches of 1 and 8: "
        "a 100 / 100 (reference), b 90 / 120 (within 0.0002). Left out: d: not installed."
    )


def test_an_engine_with_streams_counts_by_them_where_many_wait() -> None:
    """A batch on all cores answers less beside what else a worker does; streams do not, and decide where they do."""
    wide = Row("wide", {1: 100.0, 8: 110.0})
    streams = Row("streams", {1: 100.0, 8: 100.0}, streams_per_s=100.0)
    assert fastest([wide, streams]) == "streams"
    assert fastest([wide, replace(streams, streams_per_s=90.0)]) == "wide"
    assert "100 / 100 / 100 in streams" in str(Choice("streams", "wide", "so", rows=(wide, streams)))


def test_batches_of_a_fixed_size_are_filled_up() -> None:
    """A model that takes 4 images at a time gets 4, whatever the number of images, and each gets its own answer."""
    sizes: list[int] = []

    def run(images: object) -> object:
        stack = np.stack(images)  # type: ignore[call-overload]  # a list of arrays
        sizes.append(len(stack))
        return np.stack([stack.mean((1, 2, 3)), stack.max((1, 2, 3))], axis=1)

    spec = InputSpec(ImageSize(6, 6), batch=4)
    engine = Runner(run, spec, name="x", platform="x")  # type: ignore[arg-type]  # loosely typed on purpose
    images = warmup_images(spec, 6)
    found = engine.predict(images)
    assert sizes == [4, 4, 4]
    assert np.allclose(found[:, 0], [image.mean() for image in images])


def test_warm_up_pictures_have_structure() -> None:
    """Neighbouring pixels are alike, as in photographs, every picture is another, and all are the same each time."""
    first, second = warmup_images(InputSpec(ImageSize(64, 48)), 2)
    assert first.shape == (64, 48, 3)
    assert (first != second).any()
    assert (first == warmup_images(InputSpec(ImageSize(64, 48)), 1)[0]).all()
    steps = np.abs(np.diff(first.astype(int), axis=0)).mean()
    assert steps < first.std() / 2
    assert first.std() > 20
