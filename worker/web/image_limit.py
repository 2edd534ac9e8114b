"""How many images one request may hold, and the refusal of more; every reader of bodies checks it early."""

from __future__ import annotations

from worker.errors import TooLarge

IMAGES_AT_MOST = 64


def too_many_images() -> TooLarge:
    """The refusal of a request with more images."""
    return TooLarge(f"At most {IMAGES_AT_MOST} images are taken in one request: send several.")
