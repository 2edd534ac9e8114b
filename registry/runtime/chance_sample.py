"""Chooses a part of many requests by chance, at the cost of a subtraction for each request that is not chosen."""

from __future__ import annotations

import math
import random
from collections.abc import Callable


class ChanceSample:
    """Chooses the part `part` of the requests, from 0 to 1. `dice` gives numbers from 0 to below 1."""

    def __init__(self, part: float, *, dice: Callable[[], float] = random.random) -> None:
        self._part = part
        self._dice = dice
        self._skip = self._gap()

    def wants(self) -> bool:
        """Whether this request is chosen; to be asked once for each request.

        How many requests are passed over is drawn when one is chosen, so that the others cost a subtraction.
        """
        if self._skip:
            self._skip -= 1
            return False
        self._skip = self._gap()
        return True

    def _gap(self) -> float:
        """How many requests pass before the next one that is chosen: geometrically distributed."""
        if self._part >= 1:
            return 0
        if self._part <= 0:
            return math.inf
        return int(math.log(1 - self._dice()) / math.log1p(-self._part))
