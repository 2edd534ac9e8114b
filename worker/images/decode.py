"""Encoded image bytes -> one uint8 array [height, width, 3] in RGB, upright, in the size that the model takes.

bytes -> kind -> limits of the format, metadata left out -> pixel count and cost from the header -> Pillow decodes ->
colours become grey, RGB or RGBA -> cropped and scaled -> drawn on white -> turned as EXIF says -> array. Every refusal
is one of `worker.errors`. Many threads may decode at once; Pillow releases the interpreter lock while it decodes and
scales.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from worker.errors import BadRequest, NotAnImage, TooLarge, WorkerError
from worker.images.container import Container, checked
from worker.images.decoding_cost import Decoding, check_cost
from worker.images.orientation import orientation_of
from worker.images.progressive_jpeg import without_details
from worker.images.sniff import KINDS, kind_of

# Pillow warns of damaged EXIF data, with another text for each damage, and Python keeps every text that it has shown.
# Such images must fill neither the log nor the memory.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

Resize = Literal["crop", "stretch"]
Filter = Literal["bicubic", "bilinear"]

Share = Callable[[Callable[[], Image.Image]], Callable[[], Image.Image]]
"""Offers work to another thread; what it returns gives the result, see `worker.system.loop_threads`."""

CROP_SHARE = 0.875
"""The share of the shorter side that a centre crop keeps: 224 of 256, as ImageNet models are evaluated."""

_GAP = 2.0
"""Large images are first reduced by whole factors to no less than this times the target; half a grey level off."""

_JPEG_GAP = 1.3
"""The same for JPEGs, which are decoded reduced: one grey level off, as two JPEG decoders are from each other.

2 would be half a grey level off, and cost nearly twice the time at 1 megapixel and a third more at 12; what is
exact here is the place, to fractions of a pixel. `python -m benchmarks.worker.parts.decode` measures both.
"""

# The readers themselves, not Image.open: it tries others, and its own guard against large images warns.
_READERS: Mapping[str, Callable[[io.BytesIO], ImageFile]] = MappingProxyType(
    {"JPEG": JpegImageFile, "PNG": PngImageFile, "WebP": WebPImageFile, "GIF": GifImageFile, "BMP": BmpImageFile}
)
_FILTERS = MappingProxyType({"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR})

# EXIF 2.32, tag 0x0112: how to turn the stored image so that it stands upright.
_UPRIGHT = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)
_LYING = (5, 6, 7, 8)  # orientations in which width and height change places


@dataclass(frozen=True)
class ImageSize:
    """The size that a model takes, and how images are brought to it.

    `crop` scales the shorter side to size / 0.875 and cuts out the centre, as ImageNet models are evaluated; `stretch`
    scales both sides, as retrain.py and Keras's image_dataset_from_directory do.
    """

    height: int
    width: int
    resize: Resize = "stretch"
    filter: Filter = "bilinear"


def decode(
    data: bytes | bytearray | memoryview, *, size: ImageSize | None, max_pixels: int, share: Share | None = None
) -> NDArray[np.uint8]:
    """Decode one image to uint8 [height, width, 3], RGB, in the given size, or in its own size if that is None.

    Takes JPEG, PNG, WebP, GIF and BMP, and the first frame of animations. Transparent images are drawn on white, the
    usual background of web pages; 16 bits per colour are scaled to 8. With `share` another thread does half of the
    scaling; the pixels are the same, but for rounding of single values.
    Raises NotAnImage for any other kind; before a pixel is decoded, TooLarge above `max_pixels` (width x height, as
    the header says) and for files that would cost more than docs/reference/limits.md says; BadRequest for empty,
    damaged and truncated images.
    """
    content = bytes(data)  # no copy if the data are bytes already
    kind = _kind(content)
    with _damage_refused(kind):
        container, image = _opened(kind, content, max_pixels)
        whole_pixels, extent = image.width * image.height, (float(image.width), float(image.height))
        if size is not None and isinstance(image, JpegImageFile):
            image, extent = _reduced(image, container.content, size)
        check_cost(
            Decoding(
                kind,
                image,
                whole_pixels=whole_pixels,
                file_bytes=len(content),
                scaled=size is not None,
                several_scans=container.several_scans,
            )
        )
        return np.asarray(_picture(image, extent, size, _orientation(container, image), share))


def upright_size(data: bytes, *, max_pixels: int) -> tuple[int, int]:
    """Width and height of the array that `decode` makes of an image in its own size; from the header alone.

    Raises what `decode` raises, but not for damage and costs that the header does not show.
    """
    kind = _kind(data)
    with _damage_refused(kind):
        container, image = _opened(kind, data, max_pixels)
        width, height = image.size
        return (height, width) if _orientation(container, image) in _LYING else (width, height)


def _opened(kind: str, content: bytes, max_pixels: int) -> tuple[Container, ImageFile]:
    """The image with its header read, which has no more than `max_pixels`."""
    container = checked(kind, content)
    _check_pixels(container.canvas, max_pixels)
    image = _open(kind, container.content)
    _check_pixels(image.size, max_pixels)
    return container, image


def _orientation(container: Container, image: ImageFile) -> int:
    if container.orientation is not None:
        return container.orientation
    return orientation_of(image.info.get("exif", b""), image.info.get("xmp", b""))


def _open(kind: str, content: bytes) -> ImageFile:
    image = _READERS[kind](io.BytesIO(content))
    image.decodermaxblock = len(content)  # the whole file is in memory: no need to decode pieces of 64 kB
    return image


def _kind(content: bytes) -> str:
    if not content:
        raise BadRequest("The image is empty; send the bytes of an image file.")
    kind = kind_of(content)
    if kind is None:
        raise NotAnImage(f"This is not an image of a kind taken here; send {', '.join(KINDS[:-1])} or {KINDS[-1]}.")
    return kind


@contextmanager
def _damage_refused(kind: str) -> Iterator[None]:
    """Turn every error of Pillow into one of ours.

    Its readers parse in Python and do not catch what damaged files cause: OSError, SyntaxError, ValueError, KeyError,
    IndexError, struct.error, zlib.error and others, which change with its version.
    """
    try:
        yield
    except WorkerError:
        raise
    except (MemoryError, Image.DecompressionBombError) as error:
        raise TooLarge(f"The {kind} image needs more memory than there is; send it smaller.") from error
    except Exception as error:
        raise BadRequest(f"The {kind} image is damaged or cut short; send the whole file.") from error


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise TooLarge(
            f"The image has {width} x {height} pixels and the limit is {max_pixels} in all; "
            "send it smaller, or start the worker with a larger --max-pixels."
        )


def _picture(
    image: ImageFile, extent: tuple[float, float], size: ImageSize | None, orientation: int, share: Share | None
) -> Image.Image:
    image.load()
    picture = _plain(image)
    if size is not None:
        picture = _fit(picture, extent, size, lying=orientation in _LYING, share=share)
    if picture.mode == "RGBA":
        picture = _on_white(picture)
    if orientation in _UPRIGHT:
        picture = picture.transpose(_UPRIGHT[orientation])
    return picture if picture.mode == "RGB" else picture.convert("RGB")  # convert would copy


def _reduced(image: JpegImageFile, content: bytes, size: ImageSize) -> tuple[ImageFile, tuple[float, float]]:
    """Let libjpeg decode at 1/2, 1/4 or 1/8 while the result has `_JPEG_GAP` times the target size: much quicker.

    Also returns the exact width and height of the reduced image: of 1067 rows at 1/2, the last of 534 is only a half.
    """
    share = CROP_SHARE if size.resize == "crop" else 1.0
    edge = math.ceil(max(size.height, size.width) / share * _JPEG_GAP)
    whole = image.width
    drafted = image.draft(image.mode, (edge, edge))
    if drafted is None:
        return image, (float(image.width), float(image.height))
    _, (_, _, width, height) = drafted
    if width * 8 == whole and image.info.get("progressive") and (thinner := without_details(content)):
        fewer = _open("JPEG", thinner)
        fewer.draft(image.mode, (edge, edge))
        return fewer, (width, height)
    return image, (width, height)


def _plain(image: Image.Image) -> Image.Image:
    """The image in a colour mode that scales well: L, RGB, or RGBA if a pixel may be transparent."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _fit(
    picture: Image.Image, extent: tuple[float, float], size: ImageSize, *, lying: bool, share: Share | None
) -> Image.Image:
    """Crop and scale a picture; `extent` is the exact width and height of the image in it."""
    width, height = (size.height, size.width) if lying else (size.width, size.height)
    box = _centre(extent, width / height) if size.resize == "crop" else (0.0, 0.0, *extent)
    if share is not None and _scales_alike(box, width, height):
        return _in_halves(picture, box, (width, height), _FILTERS[size.filter], share)
    return picture.resize((width, height), _FILTERS[size.filter], box=box, reducing_gap=_GAP)


def _scales_alike(box: tuple[float, float, float, float], width: int, height: int) -> bool:
    """Whether Pillow gives the halves of `box` the same pixels as the whole, but for rounding.

    It does where the picture gets smaller in one step: where it is first reduced by whole factors, or enlarged, halves
    are treated otherwise.
    """
    left, top, right, bottom = box
    factors = (right - left) / width, (bottom - top) / height
    return height > 1 and min(factors) >= 1 and max(factors) < 2 * _GAP


def _in_halves(
    picture: Image.Image,
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    resampling: Image.Resampling,
    share: Share,
) -> Image.Image:
    """The part of a picture in `box`, scaled to `size`: the lower half here, the upper one in another thread."""
    (width, height), (left, top, right, bottom) = size, box
    above = height // 2
    middle = top + (bottom - top) * above / height
    upper = share(lambda: picture.resize((width, above), resampling, box=(left, top, right, middle)))
    lower = picture.resize((width, height - above), resampling, box=(left, middle, right, bottom))
    whole = Image.new(picture.mode, size)
    whole.paste(lower, (0, above))
    whole.paste(upper(), (0, 0))
    return whole


def _centre(size: tuple[float, float], ratio: float) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the largest centred box with width / height = `ratio`, times CROP_SHARE."""
    width, height = size
    across = CROP_SHARE * min(width, height * ratio)
    down = across / ratio
    left, top = (width - across) / 2, (height - down) / 2
    return left, top, left + across, top + down


def _on_white(picture: Image.Image) -> Image.Image:
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture)
    return ground
