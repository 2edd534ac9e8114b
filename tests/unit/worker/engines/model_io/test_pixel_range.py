"""The first layers of a network tell the range of its pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worker.engines.model_io.pixel_range import measured_range, pixel_range, probed


@pytest.mark.parametrize(
    ("gain", "offset", "wanted"),
    [(1, 0, None), (1 / 255, 0, 1.0), (1 / 127.5, -1, 1.0), (1, -104, 1.0), (2, -1, 255.0), (4.4, -2.1, 255.0)],
)
def test_the_first_step_tells_the_range(gain: float, offset: float, wanted: float | None) -> None:
    """A small gain or a large offset is for pixels of 0..255, any other scaling for 0..1, none tells nothing."""
    found = pixel_range(gain, offset)
    assert (found[1][0] if found else None) == wanted


def test_first_layers_that_cannot_be_run_tell_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An error while they are tried is a line in the log and no failure of the start."""
    with caplog.at_level("INFO"):
        assert probed(lambda: 1 / 0) is None  # type: ignore[arg-type, return-value]  # it raises
    assert "division by zero" in caplog.text
    assert probed(lambda: ((0.0,), (1.0,))) == ((0.0,), (1.0,))


@pytest.mark.parametrize("shape", [(None, None, None, None), (None, None, 32, 32), (1, None, None, None)])
def test_a_free_number_of_channels_is_three_before_height_and_width(shape: Any) -> None:
    """First layers with a number for each channel run on three channels, where the shape leaves their number open."""
    per_channel = np.full((3, 1, 1), 1 / 255)
    assert measured_range(lambda values: values * per_channel, shape) == ((0.0,), (1.0,))


@pytest.mark.parametrize("shape", [(None, None, None, None), (None, 32, 32, None)])
def test_a_free_number_of_channels_is_three_after_height_and_width(shape: Any) -> None:
    """The same where the channels come last; in vain where the layers take another number."""
    assert measured_range(lambda values: values * np.full(3, 1 / 255), shape) == ((0.0,), (1.0,))
    with pytest.raises(ValueError, match="broadcast"):
        measured_range(lambda values: values * np.full(7, 1 / 255), shape)
