"""The colours of `p2p up`."""

from __future__ import annotations

import re

import pytest

from deploy.colours import coloured


@pytest.mark.parametrize(
    ("line", "colour"),
    [
        ("Ready: the lookup service on http://127.0.0.1:12480, workers on 127.0.0.1:9.", "\x1b[32m"),
        ("Workers: starting 2 with my-model ...", "\x1b[1m"),
        ("[worker 1] 2026-11-28 15:47:51,275 W worker.registration: Consul is away.", "\x1b[33m"),
        ("[worker 1] 2026-11-28 15:47:51,275 E worker.server: It failed.", "\x1b[31m"),
        ("[registry] error: The port is taken.", "\x1b[31m"),
        ("[registry] 2026-11-28 15:47:51,275 I registry.server: Stopping.", "\x1b[2m"),
        ("    curl -F data=@deploy/cat.jpg localhost:`curl -s localhost:12480`", ""),
        ("", ""),
    ],
)
def test_a_line_has_the_colour_of_what_it_means(line: str, colour: str) -> None:
    """And the same words: without its colours it is the line."""
    text = coloured(line)
    assert text.startswith(colour)
    assert re.sub("\x1b\\[\\d+m", "", text) == line
    assert coloured(f"{line}\n{line}") == f"{text}\n{text}"
