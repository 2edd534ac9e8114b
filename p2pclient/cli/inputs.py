"""The names on the command line or on standard input become image files, one by one."""

from __future__ import annotations

import asyncio
import glob
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp"})
"""The endings of files that workers can read."""

_UNREADABLE = "workers read JPEG, PNG, WebP, GIF and BMP"

OTHER_IMAGE_SUFFIXES = frozenset(
    {".avif", ".heic", ".heif", ".ico", ".jp2", ".jxl", ".pbm", ".pgm", ".ppm", ".psd", ".svg", ".tga", ".tif", ".tiff"}
)
"""The endings of images that workers cannot read: of these a folder's are named, where other files are passed over."""

LeftOut: TypeAlias = Callable[[str, str], None]
"""Called with a file or folder that is left out, and the reason."""


def _ignore(_file: str, _reason: str) -> None:
    """What is left out is not told."""


async def files(names: Sequence[str], stdin: int, left_out: LeftOut = _ignore) -> AsyncIterator[str]:
    """The files that `names` mean (see `images_in`), each when it is asked for.

    `-` means the names that the descriptor `stdin` has (see `lines`).
    """
    for name in names:
        if name == "-":
            async for line in lines(stdin):
                for file in await asyncio.to_thread(images_in, line, left_out):
                    yield file
        else:
            for file in await asyncio.to_thread(images_in, name, left_out):
                yield file


def images_in(name: str, left_out: LeftOut = _ignore) -> list[str]:
    """The files that one name means; a name that means none is returned as it is, and reading it says what is wrong.

    A folder means the images in it and below it, linked folders too, sorted; `left_out` is called for those that
    workers cannot read, and for folders that cannot be read. A pattern (`*`, `?`, `[...]`, `**` for folders of
    any depth) that is no file's own name means the images that it matches and those in folders that it
    matches, sorted; if no match has an image's suffix, all files it matches.
    """
    if os.path.isdir(name):
        return _images_below(name, left_out) or [name]
    if not glob.has_magic(name) or os.path.lexists(name):
        return [name]
    matches = [Path(match) for match in glob.iglob(name, recursive=True)]
    images = {str(match) for match in matches if _is_image(match)}
    images.update(*(_images_below(match, left_out) for match in matches if match.is_dir()))
    return sorted(images) or sorted(str(match) for match in matches if match.is_file()) or [name]


def _images_below(folder: str | Path, left_out: LeftOut) -> list[str]:
    found = [path for path in _files_below(Path(folder), left_out) if path.is_file()]
    for path in sorted(found):
        if path.suffix.lower() in OTHER_IMAGE_SUFFIXES:
            left_out(str(path), _UNREADABLE)
    return sorted(str(path) for path in found if _is_image(path))


def _files_below(folder: Path, left_out: LeftOut, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """What is in a folder and below it, with links to folders followed, but not to one of the folders `above` it."""
    try:
        status, content = folder.stat(), list(folder.iterdir())
    except OSError as error:
        left_out(str(folder), error.strerror or str(error))
        return
    here = (status.st_dev, status.st_ino)
    for path in () if here in above else content:
        if path.is_dir():
            yield from _files_below(path, left_out, above | {here})
        else:
            yield path


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


async def lines(descriptor: int) -> AsyncIterator[str]:
    """The lines of a descriptor without their ends, each as soon as it arrives; blank ones are left out.

    Where a null character comes before the first line's end, it separates the lines, as `find -print0` writes them.

    No thread waits in a read, because it could not be interrupted: Ctrl-C would hang until the next line.
    """
    rest, end = b"", None
    while piece := await _read(descriptor):
        rest += piece
        end = end or next((bytes([byte]) for byte in piece if byte in b"\0\n"), None)
        if end is None:
            continue
        *whole, rest = rest.split(end)
        for line in filter(bytes.strip, whole):
            yield _name(line, end)
    if rest.strip():
        yield _name(rest, end)


def _name(line: bytes, end: bytes | None) -> str:
    return os.fsdecode(line if end == b"\0" else line.rstrip(b"\r"))


async def _read(descriptor: int) -> bytes:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    try:
        loop.add_reader(descriptor, readable.set)
    except PermissionError:
        return os.read(descriptor, 65536)  # an ordinary file: cannot be waited for, and need not be
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, 65536)
