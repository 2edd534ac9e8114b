"""The names on the command line or on standard input become image files, one by one."""

from __future__ import annotations

import asyncio
import glob
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"})


async def files(names: Sequence[str], stdin: int) -> AsyncIterator[str]:
    """The files that `names` mean (see `images_in`), each when it is asked for.

    `-` means the names that the descriptor `stdin` has, one a line.
    """
    for name in names:
        if name == "-":
            async for line in lines(stdin):
                for file in await asyncio.to_thread(images_in, line):
                    yield file
        else:
            for file in await asyncio.to_thread(images_in, name):
                yield file


def images_in(name: str) -> list[str]:
    """The files that one name means; a name that means none is returned as it is, and reading it says what is wrong.

    A folder means the images in it and below it, sorted. A pattern (`*`, `?`, `[...]`, `**` for folders of
    any depth) that is no file's own name means the images that it matches and those in folders that it
    matches, sorted; if no match has an image's suffix, all files it matches.
    """
    if os.path.isdir(name):
        return _images_below(name) or [name]
    if not glob.has_magic(name) or os.path.lexists(name):
        return [name]
    matches = [Path(match) for match in glob.iglob(name, recursive=True)]
    images = {str(match) for match in matches if _is_image(match)}
    images.update(*(_images_below(match) for match in matches if match.is_dir()))
    return sorted(images) or sorted(str(match) for match in matches if match.is_file()) or [name]


def _images_below(folder: str | Path) -> list[str]:
    return sorted(str(path) for path in Path(folder).rglob("*") if _is_image(path))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


async def lines(descriptor: int) -> AsyncIterator[str]:
    """The lines of a descriptor without their ends, each as soon as it arrives; blank ones are left out.

    No thread waits in a read, because it could not be interrupted: Ctrl-C would hang until the next line.
    """
    rest = b""
    while piece := await _read(descriptor):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if line.strip():
                yield os.fsdecode(line.rstrip(b"\r"))
    if rest.strip():
        yield os.fsdecode(rest.rstrip(b"\r"))


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
