"""How a new version is warmed beside one that serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models import Brightness, brightness
from worker import beside
from worker.batching import Pace
from worker.beside import sizes_up_to, warm_beside


class Recording(Brightness):
    """Remembers the sizes of its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        self.sizes.append(len(images))
        return super().predict(images)


@pytest.mark.parametrize(("cap", "sizes"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_every_size_that_is_common_is_warmed(cap: int, sizes: list[int]) -> None:
    """Powers of two and the cap, none larger: each runs some times, and the cap stays."""
    assert sizes_up_to(cap) == sizes
    engine = Recording()
    pace = warm_beside(replace(brightness(), engine=engine), serving=Pace(cap=cap, batch_s=1.0, single_s=1.0))
    assert pace.cap == cap
    assert 0 < pace.single_s < 1.0
    assert engine.sizes == [size for size in sizes for _ in range(beside.ROUNDS)]


def test_a_slow_model_is_not_tried_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a batch takes long, larger ones are not tried, and the cap is that size."""
    monkeypatch.setattr(beside, "SLOW_S", 0.0)
    assert warm_beside(brightness(), serving=Pace(cap=8, batch_s=1.0, single_s=1.0)).cap == 1
