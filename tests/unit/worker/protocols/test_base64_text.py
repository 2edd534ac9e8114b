"""Base64 as clients write it: alphabets, padding, line breaks, and text that is not base64."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import BadRequest
from worker.protocols.base64_text import decode_base64


@given(st.binary(max_size=300), st.booleans(), st.booleans(), st.integers(1, 80))
def test_both_alphabets_with_or_without_padding_and_line_breaks(
    data: bytes, web_safe: bool, padded: bool, width: int
) -> None:
    """Whatever way base64 is written by the field's tools, the same bytes come out."""
    text = (base64.urlsafe_b64encode if web_safe else base64.b64encode)(data).decode()
    text = text if padded else text.rstrip("=")
    lines = "\r\n".join(text[at : at + width] for at in range(0, len(text), width))
    assert decode_base64(lines) == data


def test_long_base64_is_decoded_whole() -> None:
    """More than one step's worth of text gives all of its bytes, in order."""
    data = np.random.default_rng(0).bytes(1_000_001)
    assert decode_base64(base64.b64encode(data).decode()) == data


@pytest.mark.parametrize("text", ["a", "ab!d", "äöü=", "abc=def=", "====", "YWJj===", "a=bc"])
def test_text_that_is_not_base64_is_refused(text: str) -> None:
    """Characters of no alphabet, impossible lengths and padding in the middle are a 400, never other bytes."""
    with pytest.raises(BadRequest, match="base64"):
        decode_base64(text)
