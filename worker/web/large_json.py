"""A JSON body -> Python values; a large body is parsed in windows, so that 32 MB of it do not stop other requests.

json.loads, like every fast parser, reads a whole document in one call, during which no other Python thread runs.
Here json.loads gets the arrays of a large document one window at a time, and long arrays of numbers become numpy
arrays at once, because a list of lists takes 20 times their memory. Python code walks through everything else. Large
bodies are meant to be parsed in a thread. Decision 16 compares this with orjson and msgspec.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.errors import BadRequest, TooLarge
from worker.web.image_limit import IMAGES_AT_MOST, too_many_images

SMALL_BYTES = 64 << 10
"""Up to this size json.loads takes less than 2 ms, which the event loop can wait for."""

WINDOW = 32 << 10
DEEPEST = 64
_STEPS_AT_MOST = 200_000  # values that are walked one by one, under a second of work; real requests have hundreds
_CHARACTERS_A_STEP = 16  # of lists that are no numbers: what bounds the memory that a body of "[],[],[]" takes
_MISSES_AT_MOST = 256  # windows in a row that held no whole elements, before they are tried no more

_space = re.compile(r"[ \t\n\r]*")


def parse_json(body: bytes, *, images_in: Container[str] = ()) -> Any:
    """The value of a JSON document in UTF-8; NaN and Infinity are taken, as TensorFlow Serving does.

    `images_in` are the names in the document under which lists of images stand, or objects that hold such lists: in
    a large body, parsing ends with TooLarge at the first element beyond IMAGES_AT_MOST.

    In bodies above `SMALL_BYTES`, arrays of numbers (of any depth, all of one shape) that take more than a
    `WINDOW` come as one numpy array. Raises BadRequest for what is not JSON or nested too deeply, TooLarge for
    more single values than a request can mean.
    """
    try:
        text = body.decode()
        return json.loads(text) if len(body) <= SMALL_BYTES else _Reader(text, images_in).document()
    except UnicodeDecodeError:
        raise BadRequest("The body is not JSON in UTF-8: is it an image? Those are posted to /.") from None
    except RecursionError:
        raise BadRequest("The JSON is nested too deeply: a request needs no more than seven levels.") from None
    except json.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error.msg}, at character {error.pos}.") from None
    except ValueError:  # an integer of more than 4300 digits
        raise BadRequest("The JSON holds a number of thousands of digits: send numbers that are meant.") from None


class _Reader:
    """Parses one document, from its beginning to its end."""

    def __init__(self, text: str, images_in: Container[str]) -> None:
        self._text = text
        self._images_in = images_in
        self._parse = json.JSONDecoder().raw_decode
        self._misses = 0
        self._steps = 0

    def document(self) -> Any:
        value, at = self._value(self._after_space(0), 0)
        if self._after_space(at) != len(self._text):
            raise json.JSONDecodeError("Extra data", self._text, at)
        return value

    def _value(self, at: int, depth: int, *, images: bool = False) -> tuple[Any, int]:
        if depth > DEEPEST:
            raise RecursionError
        self._count(1)
        match self._text[at : at + 1]:
            case "[":
                return self._array(self._after_space(at + 1), depth + 1, images=images)
            case "{":
                return self._object(self._after_space(at + 1), depth + 1, images=images)
            case '"':
                return self._string(at)
        return self._parse(self._text, at)

    def _string(self, at: int) -> tuple[str, int]:
        end = self._text.find('"', at + 1)
        if end - at > WINDOW:  # base64, most likely: searched and copied much quicker than scanned
            plain = self._text[at + 1 : end]
            if "\\" not in plain:
                return plain, end + 1
        return self._parse(self._text, at)

    def _object(self, at: int, depth: int, *, images: bool) -> tuple[dict[str, Any], int]:
        values: dict[str, Any] = {}
        more = self._text[at : at + 1] != "}"
        at = at if more else at + 1
        while more:
            if self._text[at : at + 1] != '"':
                raise json.JSONDecodeError("Expecting property name enclosed in double quotes", self._text, at)
            key, at = self._string(at)
            at = self._after_space(at)
            if self._text[at : at + 1] != ":":
                raise json.JSONDecodeError("Expecting ':' delimiter", self._text, at)
            listed = images or (depth == 1 and key in self._images_in)
            values[key], at = self._value(self._after_space(at + 1), depth, images=listed)
            more, at = self._next(at, "}")
        return values, at

    def _array(self, at: int, depth: int, *, images: bool) -> tuple[Any, int]:
        parts: list[Any] = []
        count = 0
        more = self._text[at : at + 1] != "]"
        at = at if more else at + 1
        while more:
            several, end = self._several(at)
            if several is None:
                value, end = self._value(at, depth)
                parts.append([value])
                count = _counted(count + 1, images=images)
                more, at = self._next(end, "]")
                continue
            count = _counted(count + len(several), images=images)
            start, (more, at) = at, self._next(end, "]")
            # An array that a window holds stays a list: it may be a shape.
            parts.append(_numbers(several) if more or parts else several)
            if not _is_array(parts[-1]):
                self._count((end - start) // _CHARACTERS_A_STEP)
        return _joined(parts), at

    def _several(self, at: int) -> tuple[list[Any] | None, int]:
        """As many whole elements as a window holds from here on, and where they end; None if it holds none.

        What the parser takes between two brackets is a run of whole elements, wherever it was cut.
        """
        if self._text[at : at + 1] in ('"', "{") or self._misses >= _MISSES_AT_MOST:
            return None, at
        cut = _cut(window := self._text[at : at + WINDOW])
        try:
            elements: list[Any] = json.loads(f"[{window[:cut]}]") if cut > 0 else []
        except json.JSONDecodeError:
            elements = []
        self._misses = max(0, self._misses - 1) if elements else self._misses + 1
        return elements or None, at + cut

    def _count(self, steps: int) -> None:
        self._steps += steps
        if self._steps > _STEPS_AT_MOST:
            raise TooLarge("The JSON has too many values: send images encoded, or as binary tensors.")

    def _next(self, at: int, close: str) -> tuple[bool, int]:
        """Whether another element follows, and where it (or what comes after the closing bracket) starts."""
        at = self._after_space(at)
        match self._text[at : at + 1]:
            case ",":
                return True, self._after_space(at + 1)
            case mark if mark == close:
                return False, at + 1
        raise json.JSONDecodeError("Expecting ',' delimiter", self._text, at)

    def _after_space(self, at: int) -> int:
        found = _space.match(self._text, at)
        return found.end() if found else at


def _counted(count: int, *, images: bool) -> int:
    """The number of elements so far. Raises TooLarge where they are images and too many."""
    if images and count > IMAGES_AT_MOST:
        raise too_many_images()
    return count


def _cut(window: str) -> int:
    """Where the last whole element ends in a window that starts with one; 0 or less if that cannot be seen.

    An element that starts with n brackets ends with n, and its array with one more, if all are of one shape.
    """
    if "\n" in window:
        return _cut_spaced(window)
    deep = len(window) - len(window.lstrip("["))
    end = window.find("]" * (deep + 1))
    last = window.rfind("]" * deep + ",") if end < 0 else end
    return last + deep


def _cut_spaced(window: str) -> int:
    """The same for an indented document, with line breaks between the brackets."""
    opening = re.match(r"(?:\[\s*)*", window)
    deep = opening.group().count("[") if opening else 0
    end = re.search(rf"((?:\]\s*){{{deep}}})\]", window)
    if end:
        return end.end(1)
    return max((comma.end() - 1 for comma in re.finditer(rf"(?:\]\s*){{{deep}}},", window)), default=0)


def _numbers(elements: list[Any]) -> Any:
    """Elements as a numpy array, of bytes where they fit; as they are if they are not numbers of one shape."""
    try:
        array = np.array(elements)
    except ValueError:
        return elements
    if array.dtype.kind not in "iuf" or not array.size:
        return elements
    if array.dtype.kind != "f" and array.min() >= 0 and array.max() <= 255:
        return array.astype(np.uint8)
    return array


def _joined(parts: list[Any]) -> Any:
    """One list of all parts' elements; one array if there is one among them, to which the others must fit."""
    if any(_is_array(part) or _is_array(part[0]) for part in parts):
        arrays = [part if _is_array(part) else _numbers(part) for part in parts]
        if not all(_is_array(array) and array.shape[1:] == arrays[0].shape[1:] for array in arrays):
            raise BadRequest("A long JSON array holds numbers and other things, or rows of unequal length.")
        joined: NDArray[Any] = np.concatenate(arrays)
        return joined
    return [element for part in parts for element in part]


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray)
