"""The dimensions of a model's input are interpreted, and pixels prepared for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.artifacts.preprocess_config import Preprocess
from worker.engines.model_io.input_plan import InputPlan, Layout, feed, layout_of, plan
from worker.errors import ModelError

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
    assert layout_of((None, 3, 3, 3), usual="nchw", requested="nhwc").order == "nhwc"
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
    found = feed(InputPlan(layout, (4, 6), "rgb", (0.0,), (255.0,)), np.float32)([picture])
    assert found.shape == ((1, 4, 6) if flat else (1, 4, 6, 1))
    assert np.allclose(found.reshape(4, 6), picture @ np.array([0.2989, 0.587, 0.114]) / 255, atol=1e-5)


def test_pixels_that_need_nothing_are_not_copied() -> None:
    """One picture for an input of uint8 is the decoder's own memory, and so are several that lie together."""
    picture = np.zeros((4, 6, 3), np.uint8)
    raw = feed(InputPlan(Layout((4, 6), None), (4, 6), "rgb", (0.0,), (1.0,)), np.uint8)
    assert np.shares_memory(raw([picture]), picture)
    together = np.zeros((3, 4, 6, 3), np.uint8)
    assert np.shares_memory(raw(together), together)
