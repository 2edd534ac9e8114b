"""The error for bytes that are not of the format that they should be."""

from __future__ import annotations


class Damaged(ValueError):
    """A file or message is not of its format; the text says what is wrong."""
