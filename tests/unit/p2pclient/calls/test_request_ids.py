"""Each call has an id, which goes along with all that it asks."""

from __future__ import annotations

from typing import Any

import pytest
from yarl import URL

from p2pclient import AsyncClient, P2PError
from p2pclient.messages import Answer
from p2pclient.testing import FakeTransport, failure, labels


class Recording(FakeTransport):
    """A transport that notes the id that each exchange carries."""

    def __init__(self, *answers: Answer) -> None:
        following = iter(answers)
        super().__init__(lambda _: next(following))
        self.ids: list[tuple[str, str | None]] = []

    async def exchange(self, method: str, url: URL, **options: Any) -> Answer:
        self.ids.append((method, options["headers"].get("X-Request-Id")))
        return await super().exchange(method, url, **options)


@pytest.mark.parametrize("routing", ["lookup", "watch"])
async def test_lookups_and_attempts_of_a_call_carry_its_id(routing: Any) -> None:
    """A second attempt has the same id, another call another one; a list that all calls share has none."""
    transport = Recording(failure(503, "busy"), labels([("tabby", 0.9)]), labels([("lynx", 0.8)]))
    async with AsyncClient(transport=transport, routing=routing) as client:
        await client.classify(b"an image")
        first = {request_id for method, request_id in transport.ids if method == "POST"}
        assert len([method for method, _ in transport.ids if method == "POST"]) == 2
        assert len(first) == 1
        looked_up = {request_id for method, request_id in transport.ids if method == "GET"}
        assert looked_up == (first if routing == "lookup" else {None})
        await client.classify(b"an image")
        assert transport.ids[-1][1] not in first | {None}


async def test_an_error_names_the_id_of_its_call() -> None:
    """So that what the servers' logs say of it can be found."""
    transport = Recording(failure(400, "It is no image."))
    async with AsyncClient(transport=transport, routing="lookup") as client:
        with pytest.raises(P2PError) as raised:
            await client.classify(b"no image")
    assert raised.value.request_id == transport.ids[-1][1]
    assert raised.value.request_id
