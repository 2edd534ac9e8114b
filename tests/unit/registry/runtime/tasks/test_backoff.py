"""How long to wait before another try."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from registry.runtime.tasks.backoff import FIRST_S, MOST_S, backoff_s


@given(failures=st.integers(0, 10_000), seed=st.integers(0, 2**32))
def test_backoff_is_bounded_and_jittered(failures: int, seed: int) -> None:
    """Every pause lies between nothing and the doubled bound, at most 30 s."""
    pause_s = backoff_s(failures, random.Random(seed))
    assert 0 <= pause_s <= min(MOST_S, FIRST_S * 2 ** min(failures, 16))
