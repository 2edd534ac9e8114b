"""Image bytes become upright RGB arrays of the asked size, or one of our errors, whatever they are."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from tests.support.photos import chelsea, chelsea_jpeg, china, coffee, encode, jpeg
from worker.errors import BadRequest, NotAnImage, TooLarge, WorkerError
from worker.images.decode import ImageSize, Resize, decode, upright_size
from worker.images.progressive_jpeg import without_details

MAX_PIXELS = 50_000_000
EXACT = {"PNG": {}, "BMP": {}, "WEBP": {"lossless": True}}
KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")


def pixels(data: bytes, *, size: ImageSize | None = None, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    return decode(data, size=size, max_pixels=max_pixels)


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(int) - other).mean())


def quarters() -> NDArray[np.uint8]:
    """Red, green, blue and grey quarters, wider than high, so that every turn of it is another image."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[:20, :30], image[:20, 30:] = (250, 10, 10), (10, 250, 10)
    image[20:, :30], image[20:, 30:] = (10, 10, 250), (128, 128, 128)
    return image


def small(kind: str) -> bytes:
    """A real photograph, small, as a file of that kind."""
    return encode(Image.fromarray(chelsea()).resize((60, 40)), kind)


@pytest.mark.parametrize("kind", EXACT)
def test_lossless_kinds_give_the_very_pixels(kind: str) -> None:
    """PNG, BMP and lossless WebP come back bit for bit, from bytes, bytearray and memoryview."""
    data = encode(Image.fromarray(chelsea()), kind, **EXACT[kind])
    for form in (bytes(data), bytearray(data), memoryview(data)):
        assert (decode(form, size=None, max_pixels=MAX_PIXELS) == chelsea()).all()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF"])
def test_lossy_kinds_come_close(kind: str) -> None:
    """JPEG, WebP and GIF look like the original."""
    assert difference(pixels(encode(Image.fromarray(chelsea()), kind)), chelsea()) < 6


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    """Animated GIF, WebP and PNG give their first frame."""
    frames = [Image.new("RGB", (32, 24), color) for color in ("red", "lime", "blue")]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
    assert difference(pixels(data), np.asarray(frames[0])) < 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    """Whatever way EXIF says the camera lay, the image comes out upright, also when it is scaled."""
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # Image.Transpose, the way back
    stored = Image.fromarray(quarters())
    stored = stored if undo is None else stored.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(stored, kind, exif=exif, quality=95)
    assert difference(pixels(data), quarters()) < 6
    assert upright_size(data, max_pixels=MAX_PIXELS) == (60, 40)
    half = np.asarray(Image.fromarray(quarters()).resize((30, 20), Image.Resampling.BILINEAR))
    assert difference(pixels(data, size=ImageSize(20, 30)), half) < 8


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # as worker.images.decode sets it, which pytest undoes
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_does_not_cost_the_image(kind: str) -> None:
    """An image with senseless EXIF data is taken as it is stored."""
    data = encode(Image.fromarray(chelsea()), kind, exif=b"Exif\0\0MM\0*\0\0\0\xff\xff\xff\xff\xff\xff")
    assert pixels(data).shape == chelsea().shape


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
def test_every_colour_mode_becomes_rgb(mode: str) -> None:
    """Grey, black and white, palette, alpha and CMYK images look in RGB as they do in a viewer."""
    image = Image.fromarray(quarters()).convert(mode)
    wanted = np.asarray(image.convert("RGB"))
    assert difference(pixels(encode(image, "JPEG" if mode == "CMYK" else "PNG", quality=95)), wanted) < 4


def test_inverted_cmyk_of_photoshop_is_not_a_negative() -> None:
    """A CMYK JPEG with Adobe's marker, whose inks are stored inverted, comes out with the right colours."""
    data = encode(Image.fromarray(quarters()).convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in data
    assert difference(pixels(data), quarters()) < 6


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    """A 16-bit grey PNG keeps its gradient: 0 stays 0, 65535 becomes 255, the middle the middle."""
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (8, 1))
    found = pixels(encode(Image.fromarray(ramp), "PNG"))
    assert found.shape == (8, 256, 3)
    assert (np.abs(found[0, :, 0].astype(int) - np.arange(256)) <= 1).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB", "L"])
def test_transparent_pixels_are_white(mode: str) -> None:
    """What is transparent, by an alpha channel, a palette entry or a colour declared so, is laid on white."""
    if mode in ("RGBA", "LA"):
        data = encode(Image.new(mode, (8, 8), (0,) * len(mode)), "PNG")
    else:
        nothing = {"P": 0, "RGB": (0, 0, 0), "L": 0}[mode]
        data = encode(Image.new(mode, (8, 8), nothing), "PNG", transparency=nothing)
    assert (pixels(data) == 255).all()
    assert (pixels(data, size=ImageSize(4, 4)) == 255).all()


def test_half_transparent_pixels_are_mixed_with_white() -> None:
    """Black at half strength is grey, and colours hidden under full transparency do not bleed into neighbours."""
    assert (np.abs(pixels(encode(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG")).astype(int) - 127) <= 1).all()
    hidden = np.zeros((64, 64, 4), np.uint8)
    hidden[:, 32:] = (255, 255, 255, 255)
    hidden[:, :32] = (255, 0, 0, 0)
    assert (pixels(encode(Image.fromarray(hidden), "PNG"), size=ImageSize(16, 16)) == 255).all()


def test_stretch_scales_both_sides() -> None:
    """Stretching gives what Pillow's own resize gives."""
    wanted = np.asarray(Image.fromarray(chelsea()).resize((100, 50), Image.Resampling.BILINEAR))
    found = pixels(encode(Image.fromarray(chelsea()), "PNG"), size=ImageSize(50, 100, "stretch", "bilinear"))
    assert difference(found, wanted) < 1


def test_crop_keeps_the_centre() -> None:
    """Cropping scales the shorter side to size / 0.875 and cuts the middle out: of 448 x 256, the middle 224."""
    wide = Image.fromarray(chelsea()).resize((448, 256))
    middle = np.asarray(wide)[16:240, 112:336]
    size = ImageSize(224, 224, "crop", "bicubic")
    assert (pixels(encode(wide, "PNG"), size=size) == middle).all()
    high = wide.transpose(Image.Transpose.ROTATE_90)
    assert (pixels(encode(high, "PNG"), size=size) == np.rot90(middle)).all()


def test_crop_scales() -> None:
    """A crop to another size is the same part of the image, scaled."""
    size = ImageSize(64, 64, "crop", "bicubic")
    middle = Image.fromarray(chelsea()).crop((94, 19, 357, 281)).resize((64, 64), Image.Resampling.BICUBIC)
    assert difference(pixels(encode(Image.fromarray(chelsea()), "PNG"), size=size), np.asarray(middle)) < 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 2)])
@pytest.mark.parametrize("resize", ["crop", "stretch"])
def test_tiny_and_narrow_images_are_scaled_too(shape: tuple[int, int], resize: str) -> None:
    """Even one pixel fills the size that is asked for, with its colour."""
    data = encode(Image.new("RGB", shape, (10, 20, 30)), "PNG")
    assert (pixels(data, size=ImageSize(8, 8, resize)) == (10, 20, 30)).all()  # type: ignore[arg-type]  # a word


@pytest.mark.parametrize("shape", [(2560, 1708), (1600, 1067), (1003, 669), (331, 2048)])
@pytest.mark.parametrize("resize", ["crop", "stretch"])
def test_a_large_jpeg_is_decoded_at_a_reduced_scale_and_looks_the_same(shape: tuple[int, int], resize: str) -> None:
    """A JPEG that is much too large gives what decoding it whole and scaling it gives, to the fraction of a pixel."""
    large = Image.fromarray(china()).resize(shape, Image.Resampling.BICUBIC)
    size = ImageSize(160, 160, resize, "bicubic")  # type: ignore[arg-type]  # a word
    data = encode(large, "JPEG", quality=95)
    whole = pixels(encode(Image.open(io.BytesIO(data)), "BMP"), size=size)
    found = pixels(data, size=size)
    assert difference(found, whole) < 2
    shifted = [np.roll(whole, by, axis) for axis in (0, 1) for by in (-1, 1)]
    assert all(difference(found, other) > 2 * difference(found, whole) for other in shifted)


def test_a_large_progressive_jpeg_needs_no_details() -> None:
    """At 1/8 a progressive JPEG gives the very pixels that all its scans give, grey, in colour and in four inks."""
    large = Image.fromarray(china()).resize((1703, 1210), Image.Resampling.BICUBIC)
    size = ImageSize(100, 100, "stretch", "bicubic")
    for mode, subsampling in (("RGB", 0), ("RGB", 1), ("RGB", 2), ("L", 0), ("CMYK", 0)):
        data = encode(large.convert(mode), "JPEG", progressive=True, subsampling=subsampling)
        thinner = without_details(data)
        assert thinner is not None
        assert len(thinner) < len(data)
        image = JpegImageFile(io.BytesIO(data))
        image.draft(image.mode, (130, 130))
        assert image.size == (213, 152)
        whole = image.convert("RGB").resize((100, 100), Image.Resampling.BICUBIC, box=(0, 0, 1703 / 8, 1210 / 8))
        assert (pixels(data, size=size) == np.asarray(whole)).all()


def test_a_progressive_jpeg_that_is_cut_short_is_refused_wherever_it_was_cut() -> None:
    """Also where all that is needed had come: it is not the file that was meant."""
    data = encode(Image.fromarray(china()).resize((1703, 1210)), "JPEG", progressive=True)
    for share in (0.05, 0.3, 0.6, 0.9, 0.999):
        assert without_details(data[: int(len(data) * share)]) is None
        with pytest.raises(BadRequest, match="damaged or cut short"):
            pixels(data[: int(len(data) * share)], size=ImageSize(100, 100))


@given(st.binary(max_size=300), st.integers(0, 400))
def test_no_bytes_make_the_search_for_scans_fail(noise: bytes, at: int) -> None:
    """Whatever stands in a progressive file, its scans are found or not, and nothing is raised."""
    data = bytearray(encode(Image.fromarray(quarters()), "JPEG", progressive=True))
    data[at:at] = noise
    thinner = without_details(bytes(data))
    assert thinner is None or len(thinner) <= len(data)


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_is_known_without_decoding(kind: str) -> None:
    """It is that of the decoded image, and what is refused before decoding is refused here, too."""
    data = small(kind)
    width, height = upright_size(data, max_pixels=MAX_PIXELS)
    assert pixels(data).shape == (height, width, 3)
    with pytest.raises(TooLarge, match="60 x 40 pixels"):
        upright_size(data, max_pixels=60 * 40 - 1)
    with pytest.raises(NotAnImage):
        upright_size(b"no image", max_pixels=MAX_PIXELS)


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    """A file that announces more pixels than the limit is a 413 that names the limit and the flag."""
    bomb = encode(Image.new("1", (8_000, 8_000)), "PNG", compress_level=1)
    with pytest.raises(TooLarge, match=r"8000 x 8000 .* 50000000 .*--max-pixels"):
        pixels(bomb)
    assert pixels(small("PNG"), max_pixels=2400).shape == (40, 60, 3)
    with pytest.raises(TooLarge):
        pixels(small("PNG"), max_pixels=2399)


@pytest.mark.parametrize("kind", KINDS)
def test_the_limit_holds_for_every_kind(kind: str) -> None:
    """One pixel above the limit is refused, whichever the kind."""
    with pytest.raises(TooLarge):
        pixels(small(kind), max_pixels=2399)


def test_a_frame_that_sticks_out_of_its_gif_counts() -> None:
    """A GIF whose first frame is larger than its screen is measured by the frame, and Pillow does not warn."""
    data = bytearray(small("GIF"))
    at = data.index(b"\x2c\0\0\0\0" + (60).to_bytes(2, "little"))
    data[at + 5 : at + 9] = (10_000).to_bytes(2, "little") * 2
    with warnings.catch_warnings(action="error"), pytest.raises(TooLarge, match="10000 x 10000"):
        pixels(bytes(data))


@pytest.mark.parametrize("chunk", [b"VP8X", b"VP8 ", b"VP8L"])
def test_a_webp_is_measured_before_its_reader_takes_memory(chunk: bytes) -> None:
    """All three forms of WebP header tell their size."""
    head = {
        b"VP8X": bytes(4) + (16_382).to_bytes(3, "little") * 2,
        b"VP8 ": bytes(3) + b"\x9d\x01\x2a" + (16_383).to_bytes(2, "little") * 2,
        b"VP8L": b"\x2f" + (16_382 | 16_382 << 14).to_bytes(4, "little"),
    }[chunk]
    data = b"RIFF" + (100).to_bytes(4, "little") + b"WEBP" + chunk + len(head).to_bytes(4, "little") + head
    with pytest.raises(TooLarge, match="16383 x 16383"):
        pixels(data + bytes(50))


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_images_are_bad_requests(kind: str) -> None:
    """A file that ends in the middle is a 400 that says so, not a half grey image."""
    data = encode(Image.fromarray(coffee()), kind)
    for share in (0.01, 0.5, 0.95):
        with pytest.raises(BadRequest, match="damaged or cut short"):
            pixels(data[: int(len(data) * share)])


def test_nothing_is_a_bad_request() -> None:
    """Empty bytes are a 400 of their own."""
    with pytest.raises(BadRequest, match="empty"):
        pixels(b"")


@pytest.mark.parametrize("kind", ["TIFF", "PPM", "ICO", "PCX", "TGA", "EPS", "JPEG2000", "PDF"])
def test_other_kinds_are_refused(kind: str) -> None:
    """What Pillow could read but we do not take is a 415 that names what we do."""
    with pytest.raises(NotAnImage, match="send JPEG, PNG, WebP, GIF or BMP"):
        pixels(encode(Image.fromarray(quarters()), kind))


@given(st.binary(min_size=1, max_size=200))
def test_noise_is_no_image(data: bytes) -> None:
    """Random bytes are refused with one of our errors."""
    with pytest.raises(WorkerError):
        pixels(data)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # as worker.images.decode sets it, which pytest undoes
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_damage_gives_an_image_or_one_of_our_errors(kind: str, data: st.DataObject) -> None:
    """Files with bits flipped, pieces cut out or repeated, or cut short never raise anything else."""
    content = bytearray(small(kind))
    for _ in range(data.draw(st.integers(1, 8))):
        # Headers matter most, so half of the damage goes there.
        at = data.draw(st.integers(0, 60) | st.integers(0, len(content) - 1)) % max(1, len(content))
        match data.draw(st.sampled_from(["flip", "zero", "cut", "repeat", "end"])):
            case "flip":
                content[at : at + 1] = bytes([content[at] ^ 1 << data.draw(st.integers(0, 7))])
            case "zero":
                content[at : at + 4] = bytes(4)
            case "cut":
                del content[at : at + data.draw(st.integers(1, 40))]
            case "repeat":
                content[at:at] = content[at : at + data.draw(st.integers(1, 40))]
            case "end":
                del content[max(at, 1) :]
        if not content:
            content = bytearray(b"\0")
    for size in (None, ImageSize(16, 16, "crop", "bicubic")):
        try:
            found = decode(content, size=size, max_pixels=1_000_000)
        except WorkerError:
            continue
        assert found.dtype == np.uint8
        assert found.shape[2] == 3
        assert size is None or found.shape == (16, 16, 3)


def test_many_threads_decode_at_once() -> None:
    """Threads do not get in each other's way: each gets its own image."""
    photos = [jpeg(np.roll(chelsea(), 40 * turn, axis=1).copy()) for turn in range(8)]
    alone = [pixels(photo) for photo in photos]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(pixels, photos * 4))
    assert all((found == alone[place % 8]).all() for place, found in enumerate(together))


def test_pillows_own_limit_is_left_alone() -> None:
    """Decoding changes none of Pillow's globals, and an image above its limit but below ours makes no warning."""
    before = Image.MAX_IMAGE_PIXELS
    data = encode(Image.new("1", (10_000, 9_000)), "PNG")
    with warnings.catch_warnings(action="error"):
        assert pixels(data, size=ImageSize(8, 8), max_pixels=90_000_000).shape == (8, 8, 3)
    assert before == Image.MAX_IMAGE_PIXELS


def test_the_cat_of_the_tests_is_a_real_jpeg() -> None:
    """The photographs that other tests use decode to what they were made of."""
    assert Image.open(io.BytesIO(chelsea_jpeg())).size == (451, 300)
    assert difference(pixels(chelsea_jpeg()), chelsea()) < 3


@pytest.mark.parametrize("resize", ["crop", "stretch"])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_another_thread_that_does_half_of_the_scaling_changes_no_pixel(
    mode: str, orientation: int, resize: Resize
) -> None:
    """Whatever the colours, turned or not, for even and odd heights; nor where it is not asked to help.

    Positions in Pillow are 32-bit numbers, so that a few values in a million are rounded the other way.
    """
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(chelsea()).convert(mode), "JPEG" if mode != "RGBA" else "PNG", exif=exif)
    offered: list[tuple[int, int]] = []

    def share(work: Callable[[], Image.Image]) -> Callable[[], Image.Image]:
        picture = work()
        offered.append(picture.size)
        return lambda: picture

    for (height, width), helped in (((224, 224), 1), ((131, 200), 2), ((400, 500), 2)):
        size = ImageSize(height, width, resize, "bicubic")
        shared = decode(data, size=size, max_pixels=MAX_PIXELS, share=share)
        whole = decode(data, size=size, max_pixels=MAX_PIXELS)
        assert np.abs(shared.astype(int) - whole).max() <= 1
        assert (shared != whole).sum() <= 4
        assert len(offered) == helped
