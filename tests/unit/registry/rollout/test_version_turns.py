"""After any number of turns every version has had its share of them, rounded."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from registry.rollout.version_turns import VersionTurns


@settings(max_examples=60)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_no_version_is_ever_a_whole_turn_ahead_or_behind(numbers: list[int]) -> None:
    """The bound is 1 - 1/(2n - 2), of two versions half a turn; it holds over the end of a period, too."""
    weights = {str(version): weight for version, weight in enumerate(numbers)}
    turns, total, had = VersionTurns(weights), sum(numbers), dict.fromkeys(weights, 0)
    bound = 1 - 1 / (2 * len(numbers) - 2) if len(numbers) > 1 else 0.0
    for count in range(1, 2 * total + 2):
        ahead = turns.peek()
        assert turns.next() == ahead
        had[ahead] += 1
        assert all(abs(had[v] - weights[v] * count / total) <= bound + 1e-9 for v in weights)


def test_turns_interleave() -> None:
    turns = VersionTurns({"3": 90, "4": 10})
    assert "".join(turns.next() for _ in range(20)) == "33333433333333343333"
