"""How long connections are kept."""

from __future__ import annotations

from p2pclient import AsyncClient
from p2pclient.transport import connection_pool


async def test_an_old_connection_is_replaced_between_two_calls(fleet, monkeypatch):
    """Once its age is reached a connection carries no request more, and nothing fails for it."""
    (worker,) = fleet.add()
    monkeypatch.setattr(connection_pool, "AGE_MIN_S", 0.0)
    monkeypatch.setattr(connection_pool, "AGE_MAX_S", 0.0)
    async with AsyncClient(fleet.url, attempts=1) as client:
        for _ in range(5):
            await client.classify(fleet.jpeg)
    assert len({seen.connection for seen in worker.seen}) == 5
