"""How measured numbers are summed up."""

from __future__ import annotations

from benchmarks.harness.rounds import alternate
from benchmarks.harness.summary import markdown_table, percentile, rate_table, spread_table


def test_a_percentile_is_a_value_that_was_measured() -> None:
    """The nearest rank: of three values the median is the second, and p99 is the largest."""
    assert (percentile([3.0, 1.0, 2.0], 0.5), percentile([3.0, 1.0, 2.0], 0.99)) == (2.0, 3.0)


def test_a_table_has_a_head_and_a_row_for_each_name() -> None:
    """It is Markdown, ready to be pasted into a document."""
    assert markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    assert spread_table({"x": [1.0, 2.0]}, unit="ms").splitlines()[-1] == "| x | 2 | 1.0 | 2.0 | 2.0 |"


def test_rates_are_compared_by_their_medians() -> None:
    """One slow round of three changes neither the rate nor the ratio."""
    table = rate_table({"ours": [100.0, 10.0, 100.0], "theirs": [50.0, 50.0, 1.0]}, unit="a second", beside="theirs")
    assert table.splitlines()[2] == "| ours | 100 | 2.00 |"


def test_contestants_take_turns_in_an_order_that_is_reversed_every_second_round() -> None:
    """So none always follows the other."""
    order: list[str] = []
    alternate({name: lambda name=name: order.append(name) or 1.0 for name in "ab"}, rounds=2)  # type: ignore[misc]
    assert order == ["a", "b", "b", "a"]
