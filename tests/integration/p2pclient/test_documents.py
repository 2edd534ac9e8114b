"""README and docs are run: each block of Python that they show works as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aiohttp import web

from p2pclient.payloads.open_inference import HEADER

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = [
    pytest.param(block, id=f"{document.name}-{number}")
    for document in (ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md")))
    for number, block in enumerate(BLOCK.findall(document.read_text()), start=1)
]


def test_there_are_blocks():
    """The client's document and README each show some."""
    assert len(BLOCKS) >= 7


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_runs(block, fleet, monkeypatch):
    """With the workers of a test where `p2p up` would have put some."""

    async def answer(request, body):
        if not request.path.startswith("/v2/"):
            return await fleet.answer(request, body)
        size = int(request.headers[HEADER])
        head = body[:size].replace(b'"inputs"', b'"model_name": "classify", "outputs"')
        return web.Response(body=head + body[size:], headers={HEADER: str(len(head))})

    for worker in fleet.add(2):
        worker.behave = answer
    monkeypatch.chdir(ROOT)
    exec(compile(block.replace("127.0.0.1:12480", f"127.0.0.1:{fleet.lookup.port}"), "block", "exec"), {})
