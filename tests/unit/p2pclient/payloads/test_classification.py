"""Labels in answers: pairs of a label and a score, or an error that readers expect."""

from __future__ import annotations

import pytest

from p2pclient.messages import MALFORMED, Answer
from p2pclient.payloads.classification import labels


@pytest.mark.parametrize(
    "body",
    ["[]", "{}", "null", '[["a"]]', '[["a", NaN]]', '[["a", 1e999]]', '[["a", "1"]]', '[["a", true]]', "[" * 200_000]
    + [f'[["a", {"9" * digits}]]' for digits in (400, 5000)],  # no float can hold them
)
def test_what_are_no_labels(body):
    """Whatever else a server answers is an error that readers expect."""
    with pytest.raises(MALFORMED):
        labels(Answer(200, {}, body.encode()))
