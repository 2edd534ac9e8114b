"""How a blocking query is asked, and which index comes next."""

from __future__ import annotations

from p2pclient.discovery.consul.blocking_query import longest_s, next_index, waiting


def test_a_question_with_an_index_waits() -> None:
    """Consul adds up to a sixteenth to the wait, and answers a question without an index at once."""
    assert (waiting(0), longest_s(0)) == ("", 0.0)
    assert (waiting(7, 1.5), longest_s(7, 16)) == ("&index=7&wait=1500ms", 17.0)


def test_an_index_that_goes_backwards_starts_again() -> None:
    """So does the 0 of a broken answer: a question with it would be answered at once, again and again."""
    assert [next_index(5, answered) for answered in (4, 5, 6)] == [0, 5, 6]
    assert next_index(0, 0) == 1
