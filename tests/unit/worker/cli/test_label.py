"""The names that `p2p label -` reads."""

from __future__ import annotations

import io

import pytest

from worker.cli.label import _names


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        (b"a.jpg\nb c.jpg\r\n\n", ["a.jpg", "b c.jpg"]),
        (b"a.jpg\0b c.jpg\0", ["a.jpg", "b c.jpg"]),
        (b"caf\xe9.png\n", ["caf\udce9.png"]),
    ],
)
def test_names_from_standard_input(typed: bytes, names: list[str]) -> None:
    """Names end with a line's end or a null character, and may be of any bytes."""
    assert list(_names(["first.jpg", "-"], io.BytesIO(typed))) == ["first.jpg", *names]
