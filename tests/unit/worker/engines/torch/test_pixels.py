"""An input plan is executed by PyTorch as it is by numpy."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from worker.engines.model_io.input_plan import IMAGENET, UNTOUCHED, InputPlan, Layout, feed

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'p2p-serving[torch]'")

from worker.engines.torch.pixels import scaled_pixels  # noqa: E402 - needs torch

LAYOUTS = (
    Layout((5, 7), None, "nchw"),
    Layout((5, 7), None, "nhwc"),
    Layout((5, 7), 1, "nchw", single=True),
    Layout((5, 7), None, "nchw", grey=True),
    Layout((5, 7), None, "nhwc", grey=True, flat=True),
)


@pytest.mark.parametrize(("layout", "channels"), list(product(LAYOUTS, ("rgb", "bgr"))))
def test_pixels_are_scaled_as_numpy_scales_them(layout: Layout, channels: str) -> None:
    """Layout, channels, scale and type are those of the plan, and the tensor lies in memory as networks expect it."""
    images = np.random.default_rng(1).integers(0, 256, (1 if layout.single else 3, 5, 7, 3), np.uint8)
    for mean, std in (((0.5,), (2.0,)), UNTOUCHED) if layout.grey else (IMAGENET, UNTOUCHED):
        plan = InputPlan(layout, layout.size, channels, mean, std)
        found = scaled_pixels(plan, torch.float32, torch.device("cpu"))(torch.from_numpy(images))
        assert found.is_contiguous()
        np.testing.assert_allclose(found.numpy(), feed(plan, np.float32)(images), rtol=1e-5, atol=1e-4)


def test_whole_numbers_stay_whole() -> None:
    """A network of uint8 gets the pixels as they are."""
    images = np.random.default_rng(1).integers(0, 256, (2, 5, 7, 3), np.uint8)
    plan = InputPlan(LAYOUTS[0], (5, 7), "rgb", *UNTOUCHED)
    found = scaled_pixels(plan, torch.uint8, torch.device("cpu"))(torch.from_numpy(images))
    assert found.dtype == torch.uint8
    assert (found.numpy() == images.transpose(0, 3, 1, 2)).all()
