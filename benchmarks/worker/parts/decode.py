"""The processor time of decoding, in ms, from a file's bytes to the array of 224 x 224 pixels that a model takes.

    python -m benchmarks.worker.parts.decode [--rounds 15] [--file PHOTO.jpg ...]

Beside ours: Pillow without reduced decoding, and simplejpeg and OpenCV where they are installed, each with the reduced
decoding that it offers, followed by the same crop and scaling by Pillow. The contestants take turns; medians count.
"off" is the mean difference from decoding all pixels and then scaling, in grey levels of 255. The photographs are
scikit-learn's china.jpg scaled to 1 and 12 megapixels (smooth, as a phone's photographs are when enlarged), and 49
copies of it side by side (sharper than a camera's photographs).
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.harness.summary import markdown_row, markdown_table
from tests.support.photos import chelsea, china, encode
from worker.images.decode import CROP_SHARE, ImageSize, decode
from worker.system.memory import keep_freed_memory

SIZE = ImageSize(224, 224, "crop", "bicubic")
EDGE = round(224 / CROP_SHARE)
MAX_PIXELS = 200_000_000

Pixels = NDArray[np.uint8]
Decoder = Callable[[bytes], Pixels]


def photographs() -> dict[str, bytes]:
    """Files by name, from small to large."""
    cat, palace = Image.fromarray(chelsea()), Image.fromarray(china())
    large = palace.resize((4240, 2832), Image.Resampling.BICUBIC)
    detailed = Image.fromarray(np.ascontiguousarray(np.tile(china(), (7, 7, 1))[:2832, :4240]))
    return {
        "451x300": encode(cat, "JPEG", quality=90),
        "451x300 grey": encode(cat.convert("L"), "JPEG", quality=90),
        "1 MP": encode(palace.resize((1224, 816), Image.Resampling.BICUBIC), "JPEG", quality=90),
        "12 MP": encode(large, "JPEG", quality=90),
        "12 MP, detailed": encode(detailed, "JPEG", quality=90),
        "12 MP, CMYK": encode(large.convert("CMYK"), "JPEG", quality=90),
        "12 MP, progressive": encode(large, "JPEG", quality=90, progressive=True),
        "1 MP PNG": encode(palace.resize((1224, 816), Image.Resampling.BICUBIC), "PNG"),
        "1 MP WebP": encode(palace.resize((1224, 816), Image.Resampling.BICUBIC), "WEBP"),
    }


def ours(data: bytes) -> Pixels:
    return decode(data, size=SIZE, max_pixels=MAX_PIXELS)


def whole(data: bytes) -> Pixels:
    """All pixels decoded, then cropped and scaled: the reference for the others."""
    return _scaled(Image.open(io.BytesIO(data)).convert("RGB"))


def decoders() -> Mapping[str, Decoder]:
    """The contestants that are installed, by name."""
    found: dict[str, Decoder] = {"p2p worker": ours, "Pillow, all pixels": whole}
    try:
        import simplejpeg
    except ImportError:
        pass
    else:
        reduced = MappingProxyType({"min_height": EDGE, "min_width": EDGE, "min_factor": 1.3})
        found["simplejpeg, reduced"] = lambda data: _scaled(
            Image.fromarray(simplejpeg.decode_jpeg(data, fastdct=True, fastupsample=True, **reduced))
        )
    try:
        import cv2
    except ImportError:
        pass
    else:
        cv2.setNumThreads(1)
        found["OpenCV, all pixels"] = lambda data: _scaled(
            Image.fromarray(np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)))
        )
    return found


def _scaled(image: Image.Image) -> Pixels:
    edge = CROP_SHARE * min(image.size)
    left, top = (image.width - edge) / 2, (image.height - edge) / 2
    box = (left, top, left + edge, top + edge)
    return np.asarray(image.resize((SIZE.width, SIZE.height), Image.Resampling.BICUBIC, box=box, reducing_gap=2.0))


def measure(data: bytes, contestants: Mapping[str, Decoder], rounds: int) -> dict[str, tuple[float, float] | None]:
    """Processor ms and difference from `whole`, by contestant; None for one that cannot read the file."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    off: dict[str, float] = {}
    reference = whole(data).astype(int)
    for number in range(rounds + 1):
        for name, decoder in contestants.items():
            began_s = time.thread_time()
            try:
                pixels = decoder(data)
            except Exception:  # each library raises errors of its own for files that it does not read
                continue
            if number:  # the first round fills the caches
                taken[name].append((time.thread_time() - began_s) * 1000)
            off[name] = float(np.abs(pixels - reference).mean())
    return {name: (statistics.median(ms), off[name]) if ms else None for name, ms in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--file", type=Path, action="append", default=[], help="a photograph of your own")
    options = parser.parse_args()
    keep_freed_memory()  # as a worker does
    files = photographs() | {path.name: path.read_bytes() for path in options.file}
    contestants = decoders()
    print(markdown_table(["ms on one core (off)", "kB", *contestants], ()))
    for name, data in files.items():
        row = measure(data, contestants, options.rounds)
        cells = ["cannot" if cell is None else f"{cell[0]:.1f} ({cell[1]:.1f})" for cell in row.values()]
        print(markdown_row([name, f"{len(data) / 1000:.0f}", *cells]), flush=True)


if __name__ == "__main__":
    main()
