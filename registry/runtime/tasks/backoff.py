"""How long to wait before something that failed is tried again. Pure; the caller sleeps."""

from __future__ import annotations

import random

FIRST_S = 0.25
MOST_S = 30.0


def backoff_s(failures: int, chance: random.Random) -> float:
    """Full jitter (M. Brooker, "Exponential Backoff And Jitter", 2015): anywhere up to the doubled bound.

    `failures` counts those in a row before this one. The pause is at most MOST_S.
    """
    bound = min(MOST_S, FIRST_S * 2 ** min(failures, 16))
    return chance.uniform(0, bound)
