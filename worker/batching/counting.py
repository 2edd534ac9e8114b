"""The requests that are being received, and the images that are being decoded, counted while they are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager


class Coming(AbstractContextManager[object]):
    """Counts the requests that are being received or decoded; one object for all, which costs less than a generator."""

    __slots__ = ("_left", "count")

    def __init__(self, left: Callable[[], None]) -> None:
        self.count = 0
        self._left = left

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1
        self._left()


class Decoding(AbstractContextManager[object]):
    """The images of one request, and their bytes, while they are being decoded."""

    __slots__ = ("_caller", "_change", "_images", "_nbytes")

    def __init__(self, change: Callable[[int, int, str], None], images: int, nbytes: int, caller: str) -> None:
        self._change = change
        self._caller = caller
        self._images = images
        self._nbytes = nbytes

    def __enter__(self) -> None:
        self._change(self._images, self._nbytes, self._caller)

    def __exit__(self, *_: object) -> None:
        self._change(-self._images, -self._nbytes, self._caller)
