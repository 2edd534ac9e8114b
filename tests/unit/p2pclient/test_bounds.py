"""Numbers from outside: whole ones within bounds are read, and nothing else is."""

from __future__ import annotations

import json

import pytest

from p2pclient.bounds import INDEX_AT_MOST, decimal, whole_number
from p2pclient.messages import MALFORMED


@pytest.mark.parametrize("text", ["1e400", "-1e400", "NaN", "1.0", "true", "null", '"1"', "-1", "101", "9" * 400])
def test_what_is_no_number_of_ours_is_refused(text):
    """Infinity, fractions, truth values, texts and numbers out of bounds are all one error, which readers expect."""
    with pytest.raises(MALFORMED):
        whole_number(json.loads(text), most=100)


@pytest.mark.parametrize("text", ["", "-1", "+1", "1_0", "1.5", "1e3", "²", "٣", "x", "9" * 400, str(2**64)])
def test_what_is_no_header_s_number_is_refused(text):
    """Decimal digits alone count, and not without end."""
    with pytest.raises(ValueError, match="not a"):
        decimal(text, most=INDEX_AT_MOST)


@pytest.mark.parametrize("number", [0, 1, 2**63, INDEX_AT_MOST])
def test_what_is_within_bounds_is_read(number):
    """Consul's largest index included."""
    assert whole_number(number, most=INDEX_AT_MOST) == decimal(f" {number} ", most=INDEX_AT_MOST) == number
