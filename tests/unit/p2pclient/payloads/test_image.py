"""Pixels become PNGs that other decoders read as the same pixels."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from p2pclient.payloads.image import media_type, png, read_image

in_moderation = settings(max_examples=50, deadline=None)
sides = st.integers(1, 9)


@in_moderation
@given(st.data(), sides, sides, st.sampled_from([(), (1,), (3,), (4,)]))
def test_pixels_survive(data, height, width, channels):
    """Grey, RGB and RGBA of any size decode to what was encoded."""
    pixels = data.draw(arrays.arrays(np.uint8, (height, width, *channels)))
    decoded = np.asarray(Image.open(io.BytesIO(png(pixels))))
    np.testing.assert_array_equal(decoded, pixels.reshape(decoded.shape))


def test_a_view_is_encoded_as_it_looks():
    """A crop or a mirrored array is not contiguous in memory, and comes out right all the same."""
    pixels = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)[1:4, ::-1]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(pixels)))), pixels)


@pytest.mark.parametrize(
    ("pixels", "error"),
    [
        (np.zeros((2, 2, 3), np.float32), TypeError),
        (np.zeros((2, 2, 2), np.uint8), ValueError),
        (np.zeros((2,), np.uint8), ValueError),
        (np.zeros((0, 2, 3), np.uint8), ValueError),
    ],
)
def test_what_are_no_pixels(pixels, error):
    """Floats, odd channels and empty images are refused with what would do."""
    with pytest.raises(error, match=r"uint8|\[height, width\]"):
        png(pixels)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK", "YCbCr", "F"])
async def test_pillow_images_are_taken(mode):
    """Whatever its mode, a Pillow image is sent as a PNG, with what RGB can hold of it."""
    image = Image.new("RGB", (3, 2), (200, 100, 50)).convert(mode)
    data = await read_image(image)
    assert media_type(data) == "image/png"
    decoded = Image.open(io.BytesIO(data)).convert("RGB")
    assert decoded.size == (3, 2)
    assert decoded.getpixel((1, 1)) == image.convert("RGB").getpixel((1, 1))


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "webp", "bmp"])
def test_media_types(kind):
    """Real images of every kind that workers take are told by their first bytes."""
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, kind)
    assert media_type(file.getvalue()) == f"image/{kind}"


@pytest.mark.parametrize("data", [b"", b"RIFF____WAVE", b"plain text", b"\x89PN"])
def test_unknown_media_types(data):
    """What is not recognised is declared as mere bytes: the worker decides."""
    assert media_type(data) == "application/octet-stream"


async def test_pillow_s_bytes_are_not_computed_in_the_event_loop(monkeypatch):
    """Asking whether an image has pixels must not convert it: 12 megapixels would stop every other call."""
    threads = []
    image = Image.new("RGB", (3, 2))
    real = Image.Image.tobytes
    monkeypatch.setattr(
        Image.Image, "tobytes", lambda *arguments: threads.append(threading.current_thread()) or real(*arguments)
    )
    await read_image(image)
    assert threading.current_thread() not in threads
