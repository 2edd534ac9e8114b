"""Many images: names as the user gave them become files, one by one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"})


async def files(names: Sequence[str], stdin: int) -> AsyncIterator[str]:
    """The files that `names` mean, one by one as they are asked for.

    A folder means the images in it and below it, sorted; `-` means the names that the descriptor
    `stdin` has, one a line. A name that does not exist is handed on like any other.
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
    """A folder's image files, sorted, whatever their depth; anything else is taken for a file.

    So is a folder without images: reading it says what is wrong.
    """
    folder = Path(name)
    if not folder.is_dir():
        return [name]
    found = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(str(path) for path in found if path.is_file()) or [name]


async def lines(descriptor: int) -> AsyncIterator[str]:
    """The lines of a descriptor without their ends, each as soon as it is there; blank ones are left out.

    No thread waits in a read here: one could not be interrupted, and Ctrl-C would hang until the next line.
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
