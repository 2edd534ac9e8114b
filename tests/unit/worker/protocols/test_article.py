"""What `POST /` answers is written without the encoder, and must read as if it were not."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from worker.protocols.article import labelled

PAIRS = st.lists(st.tuples(st.text(max_size=20), st.floats(allow_nan=False, allow_infinity=False)), max_size=6)


@given(st.lists(PAIRS, min_size=1, max_size=4))
def test_labels_and_scores_are_written_as_the_encoder_writes_them(images: list[list[tuple[str, float]]]) -> None:
    """Byte for byte, whatever the labels; one image is a list of pairs, several are a list of those."""
    value = images if len(images) > 1 else images[0]
    assert labelled(images) == json.dumps(value, ensure_ascii=False)
