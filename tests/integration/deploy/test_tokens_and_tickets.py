"""Tokens and tickets together: the lookup service knows the caller by its token, the worker by the ticket."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from registry.agent.server import serve_agent
from registry.consul.settings import ConsulSettings
from registry.security.access_settings import AccessSettings
from registry.server import running
from registry.settings import RegistrySettings
from tests.support.photos import chelsea_jpeg
from tests.support.security.token_file import CLIENT, OF_CATS, OPERATOR, SLOW, bearer, write_tokens
from tests.support.security.token_file import TABLES as CALLERS
from tests.support.waiting import until
from tests.support.workers.echo_worker import EchoWorker, echo_worker

TABLES = CALLERS.replace("rate = 2", "rate = 3\nconcurrency = 0.5")


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[tuple[str, EchoWorker]]:
    """The lookup service's URL, and a worker that requires its tickets and takes operators' tokens."""
    access = AccessSettings(write_tokens(tmp_path, TABLES))
    async with (
        serve_agent(host="127.0.0.1", port=0) as agent,
        running(
            RegistrySettings(
                ConsulSettings(url=agent.url), port=0, service="echo", access=access, ticket_keys=tmp_path / "keys"
            )
        ) as registry,
        echo_worker(agent.url, require_ticket=True, access=access) as worker,
    ):

        async def handed_out() -> bool:
            async with worker.http.get(f"{registry.url}/next", headers=bearer(CLIENT)) as answer:
                return answer.status == 200 and await ask(worker, await ticket(worker, registry.url, CLIENT)) == 200

        await until(handed_out)
        yield registry.url, worker


async def ticket(worker: EchoWorker, registry: str, token: str) -> str:
    headers = bearer(token) | {"Accept": "application/json"}
    async with worker.http.get(f"{registry}/next", headers=headers) as answer:
        return str((await answer.json())["ticket"])


async def ask(worker: EchoWorker, proof: str | None) -> int:
    return (await worker.post("/", chelsea_jpeg(), **(bearer(proof) if proof else {}))).status


def claims(text: str) -> Any:
    body = text.split(".")[1]
    return json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))


async def test_the_ticket_names_the_caller_of_the_token(both: tuple[str, EchoWorker]) -> None:
    """Each caller gets tickets of its own, with its quota, from prepared answers too."""
    registry, worker = both
    for _ in range(2):
        assert claims(await ticket(worker, registry, CLIENT))["sub"] == "alice"
    slow = claims(await ticket(worker, registry, SLOW))
    assert (slow["sub"], slow["rate"], slow["concurrency"]) == ("sam", 3.0, 0.5)


async def test_only_a_ticket_permits_a_prediction(both: tuple[str, EchoWorker]) -> None:
    """A token is for the lookup service; a caller without the service gets no ticket."""
    registry, worker = both
    assert [await ask(worker, proof) for proof in (None, CLIENT, OPERATOR)] == [401, 401, 401]
    assert await ask(worker, await ticket(worker, registry, CLIENT)) == 200
    async with worker.http.get(f"{registry}/tickets/echo", headers=bearer(OF_CATS)) as refused:
        assert refused.status == 403


async def test_metrics_are_for_operators_and_details_for_whoever_may_ask(both: tuple[str, EchoWorker]) -> None:
    """Beside tickets a token is good for /metrics, where it is an operator's, and for the details of /readyz."""
    registry, worker = both
    good = await ticket(worker, registry, CLIENT)
    metrics = [(await worker.ask("GET", "/metrics", **bearer(proof))).status for proof in (OPERATOR, CLIENT, good)]
    assert metrics == [200, 403, 401]
    told = [(await worker.ask("GET", "/readyz", **bearer(proof))).json for proof in (CLIENT, OPERATOR, good, "wrong")]
    assert [len(each) > 1 for each in told] == [True, True, True, False]


async def test_the_quota_of_the_token_holds_at_the_worker(both: tuple[str, EchoWorker]) -> None:
    """The worker learns the rate from the ticket: the fourth request within a second is 429."""
    registry, worker = both
    slow = await ticket(worker, registry, SLOW)
    answers = [await worker.post("/", chelsea_jpeg(), **bearer(slow)) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert (answers[3].headers["Retry-After"], "sam has used its quota of 3" in answers[3].error) == ("1", True)
