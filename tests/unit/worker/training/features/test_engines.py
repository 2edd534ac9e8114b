"""Many photos get an engine per core, few photos one engine for all cores."""

from __future__ import annotations

import pytest

from worker.training.features.engines import LEAST_PHOTOS, MOST_ENGINES, engines_for


@pytest.mark.parametrize(
    ("photos", "cores", "engines"),
    [
        (2 * LEAST_PHOTOS, 2, 2),
        (2 * LEAST_PHOTOS - 1, 2, 1),
        (10**6, 1, 1),
        (10**6, MOST_ENGINES, MOST_ENGINES),
        (10**6, MOST_ENGINES + 1, 1),
    ],
)
def test_an_engine_per_core_needs_photos_enough(photos: int, cores: int, engines: int) -> None:
    """Compiling the network must pay for each of them, and many cores would hold the network too often."""
    assert engines_for(photos, cores) == engines
