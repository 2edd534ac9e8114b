"""The images that one request may hold."""

from __future__ import annotations

import numpy as np
import pytest

from worker.errors import BadRequest, TooLarge
from worker.protocols.common import of_one_kind


def test_a_request_has_one_kind_of_images_and_not_too_many() -> None:
    """Encoded images and pixels are not mixed; none is a 400, 65 are a 413."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(BadRequest, match="alike"):
        of_one_kind([b"x", pixels])
    with pytest.raises(BadRequest, match="at least one"):
        of_one_kind([])
    with pytest.raises(TooLarge, match="64"):
        of_one_kind([b"x"] * 65)
