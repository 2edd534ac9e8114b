"""A worker with tokens, quotas, names of hosts and origins of pages, on the fast path and through aiohttp."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from registry.runtime.file_watch import WatchedFiles
from registry.security.access_control import AccessControl
from registry.security.browsers.cors import Origins
from registry.security.browsers.host_names import HostNames
from registry.security.quota import Quotas
from registry.security.tokens.token_file_reader import watched_tokens
from tests.support.photos import chelsea_jpeg
from tests.support.raw_http import conversation, undated
from tests.support.security.token_file import CLIENT, OF_CATS, OPERATOR, SLOW, TABLES, bearer, write_tokens
from tests.support.waiting import until
from tests.support.workers.fast_and_slow_worker import FastAndSlowWorker, fast_and_slow_worker
from worker.batching.fair_queue import FairQueue

PAGE = "https://page.example"
NARROW = "narrow-token-5up3r"
CLIENT_PATHS = (
    "/v1/models/classify", "/v1/models/classify/metadata", "/v1/models/classify/labels/stable", "/v2", "/v2/",
    "/v2/models/classify", "/v2/models/classify/ready", "/openapi.json",
)  # fmt: skip
PREDICTING = ("/", "/v1/models/classify:predict", "/v1/models/classify:classify", "/v2/models/classify/infer")


class Asked:
    """One port of a worker: its answers' status, headers and text."""

    def __init__(self, worker: FastAndSlowWorker, port: int, http: aiohttp.ClientSession) -> None:
        self.worker = worker
        self.port = port
        self._http = http

    async def ask(
        self, method: str, path: str, token: str | None = None, data: Any = None, **headers: str
    ) -> tuple[int, Any, str]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | (bearer(token) if token else {})
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self._http.request(method, url, headers=sent, data=data) as answer:
            return answer.status, answer.headers, await answer.text()

    async def get(self, path: str, token: str | None = None, **headers: str) -> tuple[int, Any, str]:
        return await self.ask("GET", path, token, **headers)

    async def post(self, token: str | None = None, data: Any = None, **headers: str) -> tuple[int, Any, str]:
        return await self.ask("POST", "/", token, data or chelsea_jpeg(), **headers)


Ask = Callable[[AccessControl], AbstractAsyncContextManager[Asked]]


@pytest.fixture(params=["fast", "aiohttp"])
def worker(request: pytest.FixtureRequest) -> Ask:
    @asynccontextmanager
    async def worker(control: AccessControl) -> AsyncIterator[Asked]:
        async with (
            fast_and_slow_worker(control=control) as both,
            aiohttp.ClientSession(skip_auto_headers=["User-Agent"]) as http,
        ):
            yield Asked(both, both.fast_port if request.param == "fast" else both.slow_port, http)

    return worker


@pytest.fixture
def tokens(tmp_path: Path) -> WatchedFiles[Any]:
    table = f'\n[nick]\ntoken = "{NARROW}"\nconcurrency = 0.5\n'
    return watched_tokens(write_tokens(tmp_path, TABLES + table))


@pytest.mark.parametrize("token", [None, "wrong"])
async def test_without_a_right_token_only_the_health_is_told(
    worker: Ask, tokens: WatchedFiles[Any], token: str
) -> None:
    """Every other path of every protocol is 401 with the challenge; readiness is a yes or no without details."""
    async with worker(AccessControl(tokens=tokens)) as asked:
        answers = [await asked.get(path, token) for path in (*CLIENT_PATHS, "/", "/metrics", "/nowhere")]
        answers += [await asked.ask("POST", path, token, chelsea_jpeg()) for path in PREDICTING]
        for status, headers, text in answers:
            assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="p2p"')
            assert "wrong" not in text
        assert [(await asked.get(path, token))[::2] for path in ("/healthz", "/readyz")] == [
            (200, "ok\n"),
            (200, '{"ready": true}'),
        ]
        assert (await asked.get("/v2/health/live", token))[0] == 200


async def test_a_client_predicts_and_an_operator_reads_metrics_too(worker: Ask, tokens: WatchedFiles[Any]) -> None:
    """Predictions, descriptions and readiness with its details for both; /metrics for the operator only."""
    async with worker(AccessControl(tokens=tokens)) as asked:
        for token in (CLIENT, OPERATOR):
            assert (await asked.post(token))[0] == 200
            assert {(await asked.get(path, token))[0] for path in CLIENT_PATHS} == {200}
            assert '"models"' in (await asked.get("/readyz", token))[2]
        status, headers, text = await asked.get("/metrics", CLIENT)
        assert (status, "WWW-Authenticate" in headers) == (403, False)
        assert "it takes one with the role operator" in text
        assert (await asked.get("/metrics", OPERATOR))[0] == 200


async def test_a_caller_uses_only_its_models(worker: Ask, tokens: WatchedFiles[Any]) -> None:
    """A token for another service is refused by every protocol, for models that exist and for those that do not."""
    async with worker(AccessControl(tokens=tokens)) as asked:
        for path in (*PREDICTING, "/v1/models/cl%61ssify:predict", "/v2/models/none/infer"):
            status, _, text = await asked.ask("POST", path, OF_CATS, chelsea_jpeg())
            assert (status, "The token of carl is not for the service '" in text) == (403, True), path
        assert (await asked.get("/v1/models/classify", OF_CATS))[0] == 403
        assert (await asked.get("/v1/models/cats", OF_CATS))[0] == 404


async def test_a_token_that_leaves_the_file_is_refused_at_once(worker: Ask, tokens: WatchedFiles[Any]) -> None:
    """The next request on a kept connection is judged by the new file."""
    async with worker(AccessControl(tokens=tokens)) as asked:
        assert (await asked.post(CLIENT))[0] == 200
        tokens.paths[0].write_text('[zoe]\ntoken = "the-new-token"\n')
        await tokens.look()
        assert (await asked.post(CLIENT))[0] == 401
        assert (await asked.post("the-new-token"))[0] == 200


async def test_every_protocol_tells_the_queue_whose_images_come(
    worker: Ask, tokens: WatchedFiles[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue lets callers take turns by the names of their tokens; without tokens nobody has a name."""
    callers: list[str] = []
    add = FairQueue.add

    def noted(self: FairQueue[Any], caller: str, items: Sequence[Any]) -> None:
        callers.append(caller)
        add(self, caller, items)

    monkeypatch.setattr(FairQueue, "add", noted)
    text = base64.b64encode(chelsea_jpeg()).decode()
    infer = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [text]}]}
    async with worker(AccessControl(tokens=tokens)) as asked:
        assert (await asked.post(CLIENT))[0] == 200
        for path, body in (
            ("v1/models/classify:predict", {"instances": [{"b64": text}]}),
            ("v2/models/classify/infer", infer),
        ):
            answer = await asked.ask("POST", f"/{path}", OPERATOR, json.dumps(body))
            assert answer[0] == 200, answer[2]
    assert callers == ["alice", "olga", "olga"]
    callers.clear()
    async with worker(AccessControl()) as asked:
        assert (await asked.post())[0] == 200
    assert callers == [""]


async def test_a_caller_above_its_rate_is_told_when_to_ask_again(worker: Ask, tokens: WatchedFiles[Any]) -> None:
    """Two requests pass, the third is 429 with Retry-After; another caller notices nothing."""
    async with worker(AccessControl(tokens=tokens)) as asked:
        answers = [await asked.post(SLOW) for _ in range(3)]
        assert [answer[0] for answer in answers] == [200, 200, 429]
        assert answers[2][1]["Retry-After"] == "1"
        assert "sam has used its quota of 2 requests per second here: ask again in 1 s." in answers[2][2]
        assert (await asked.post(CLIENT))[0] == 200


async def test_a_caller_holds_no_more_than_its_share_of_places(worker: Ask, tokens: WatchedFiles[Any]) -> None:
    """A request whose body is still to come holds a place; it is free again when the client hangs up."""
    control = AccessControl(tokens=tokens, quotas=Quotas(places=4))
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\nAuthorization: Bearer %s\r\n\r\n" % NARROW.encode()
    async with worker(control) as asked:
        connections = [await asyncio.open_connection("127.0.0.1", asked.port) for _ in range(2)]
        for _, writer in connections:
            writer.write(head)
        await until(lambda: control.quotas.held("nick") == 2)
        status, headers, text = await asked.post(NARROW)
        assert (status, headers["Retry-After"]) == (429, "1")
        assert "nick has used its quota of 2 images at a time here" in text
        assert (await asked.post(CLIENT))[0] == 200
        for _, writer in connections:
            writer.close()
        await until(lambda: control.quotas.held("nick") == 0)
        assert (await asked.post(NARROW))[0] == 200
        assert control.quotas.held("nick") == 0


async def test_each_image_of_a_request_takes_a_place(worker: Ask, tokens: WatchedFiles[Any]) -> None:
    """A form with as many images as the share counts as that many requests while another one is under way."""
    control = AccessControl(tokens=tokens, quotas=Quotas(places=4))
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\nAuthorization: Bearer %s\r\n\r\n" % NARROW.encode()

    def form() -> aiohttp.FormData:
        form = aiohttp.FormData()
        for name in "ab":
            form.add_field("data", chelsea_jpeg(), filename=name)
        return form

    async with worker(control) as asked:
        assert (await asked.post(NARROW, form()))[0] == 200
        _, writer = await asyncio.open_connection("127.0.0.1", asked.port)
        writer.write(head)
        await until(lambda: control.quotas.held("nick") == 1)
        assert (await asked.post(NARROW, form()))[0] == 429
        assert (await asked.post(NARROW))[0] == 200
        writer.close()
        await until(lambda: control.quotas.held("nick") == 0)


@pytest.mark.parametrize(("host", "status"), [("evil.example", 421), ("box.example:1", 200), ("127.0.0.1:1", 200)])
async def test_a_name_that_a_page_may_have_rebound_is_refused(
    worker: Ask, tokens: WatchedFiles[Any], host: str, status: int
) -> None:
    """With a token file only names of this server are answered, health included."""
    async with worker(AccessControl(tokens=tokens, hosts=HostNames(["box.example"]))) as asked:
        assert (await asked.post(CLIENT, Host=host))[0] == status
        assert (await asked.get("/healthz", Host=host))[0] == status


async def test_pages_of_an_allowed_origin_may_ask(worker: Ask, tokens: WatchedFiles[Any]) -> None:
    """A preflight is answered without a token, and answers of all kinds carry the page's origin."""
    control = AccessControl(tokens=tokens, origins=Origins([PAGE]))
    async with worker(control) as asked:
        status, headers, _ = await asked.ask("OPTIONS", "/", Origin=PAGE, Access_Control_Request_Method="POST")
        assert (status, headers["Access-Control-Allow-Origin"]) == (204, PAGE)
        for token, expected in ((CLIENT, 200), (None, 401)):
            status, headers, _ = await asked.post(token, Origin=PAGE)
            assert (status, headers["Access-Control-Allow-Origin"]) == (expected, PAGE)
            assert "Retry-After" in headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Origin" not in (await asked.post(CLIENT, Origin="https://evil.example"))[1]
        status, headers, _ = await asked.post(None, Origin=PAGE, Expect="100-continue")
        assert (status, headers["Access-Control-Allow-Origin"]) == (401, PAGE)


async def test_off_by_default_no_page_may_ask(worker: Ask) -> None:
    """Without --cors-origin no answer carries a permission, and OPTIONS is a method like others."""
    async with worker(AccessControl()) as asked:
        status, headers, _ = await asked.ask("OPTIONS", "/", Origin=PAGE, Access_Control_Request_Method="POST")
        assert (status, "Access-Control-Allow-Origin" in headers) == (405, False)
        assert "Access-Control-Allow-Origin" not in (await asked.post(Origin=PAGE))[1]


@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"])
async def test_a_refused_caller_is_answered_before_its_body(tokens: WatchedFiles[Any], expect: bytes) -> None:
    """The 401 comes while the body is still to come, and nobody asks for it."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n" + expect + b"\r\n"
    async with fast_and_slow_worker(control=AccessControl(tokens=tokens)) as both:
        for port in (both.fast_port, both.slow_port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head)
            async with asyncio.timeout(5):
                said = await reader.readuntil(b"\r\n\r\n")
            writer.close()
            assert said.startswith(b"HTTP/1.1 401 Unauthorized\r\n")


@pytest.mark.parametrize("token", [CLIENT, OF_CATS, "wrong"])
async def test_a_client_cannot_tell_the_two_paths_apart(tokens: WatchedFiles[Any], token: str) -> None:
    """Whoever asks, the fast path and aiohttp say the same, byte for byte."""
    body = chelsea_jpeg()
    lines = (b"POST / HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), b"Authorization: Bearer %s")
    head = b"\r\n".join(lines) % token.encode() + b"\r\n\r\n"
    async with fast_and_slow_worker(control=AccessControl(tokens=tokens)) as both:
        said = [undated((await conversation(port, [head + body]))[0]) for port in (both.fast_port, both.slow_port)]
        assert both.taken == 1
    assert said[0] == said[1]
