"""The order in which contestants take their turns."""

from __future__ import annotations

from benchmarks.worker.side_by_side import shuffled


def test_the_order_of_turns_differs_between_rounds_and_leaves_none_out() -> None:
    """So no contestant always follows the same other one."""
    orders = {tuple(shuffled("abcdefg", number)) for number in range(6)}
    assert len(orders) > 1
    assert all(sorted(order) == list("abcdefg") for order in orders)
