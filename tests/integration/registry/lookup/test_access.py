"""The lookup service with tokens, quotas, names of hosts and origins of pages, over HTTP and on both of its paths."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from registry.consul.settings import ConsulSettings
from registry.lookup.fast_path import FastPath
from registry.runtime.file_watch import WatchedFiles
from registry.security.access_control import AccessControl, access_control
from registry.security.access_settings import AccessSettings
from registry.security.browsers.host_names import HostNames
from registry.security.tokens.token_file_reader import watched_tokens
from registry.server import serve
from registry.settings import RegistrySettings
from tests.support.lookups.lookup_app import PLAIN, alike, served
from tests.support.raw_http import conversation
from tests.support.security.token_file import CLIENT, OF_CATS, OPERATOR, SLOW, bearer, write_tokens

PAGE = "https://page.example"
OPERATOR_PATHS = ("/metrics", "/sd/prometheus", "/events", "/summary", "/history/classify")
CLIENT_PATHS = ("/", "/next", "/next/classify", "/instances/classify", "/services", "/nowhere", "/to/classify/x")


class Asked:
    """A lookup service, and its answers: status, headers, text."""

    def __init__(self, port: int, path: FastPath, http: aiohttp.ClientSession) -> None:
        self.port = port
        self.path = path
        self._http = http

    async def get(self, path: str, token: str | None = None, **headers: str) -> tuple[int, Any, str]:
        return await self.ask("GET", path, token, **headers)

    async def ask(self, method: str, path: str, token: str | None = None, **headers: str) -> tuple[int, Any, str]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | (bearer(token) if token else {})
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self._http.request(method, url, headers=sent, allow_redirects=False) as answer:
            return answer.status, answer.headers, await answer.text()


Ask = Callable[..., AbstractAsyncContextManager[Asked]]


@pytest.fixture(params=[True, False], ids=["fast", "framework"])
def lookup(request: pytest.FixtureRequest) -> Ask:
    @asynccontextmanager
    async def lookup(access: AccessControl) -> AsyncIterator[Asked]:
        async with (
            served(fast=request.param, access=access) as (port, path),
            aiohttp.ClientSession(skip_auto_headers=["User-Agent"]) as http,
        ):
            yield Asked(port, path, http)

    return lookup


@pytest.fixture
def tokens(tmp_path: Path) -> WatchedFiles[Any]:
    return watched_tokens(write_tokens(tmp_path))


@pytest.mark.parametrize("token", [None, "wrong"])
async def test_without_a_right_token_only_the_health_is_told(
    lookup: Ask, tokens: WatchedFiles[Any], token: str
) -> None:
    """Every other path, whether it exists or not, is 401 with the challenge; health carries no details."""
    async with lookup(AccessControl(tokens=tokens)) as asked:
        for path in (*CLIENT_PATHS, *OPERATOR_PATHS):
            status, headers, text = await asked.get(path, token)
            assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="p2p"'), path
            assert "wrong" not in text
        assert (await asked.ask("POST", "/", token))[0] == 401
        assert [(await asked.get(path, token))[::2] for path in ("/healthz", "/readyz")] == [
            (200, "alive\n"),
            (200, "ready\n"),
        ]


async def test_a_client_may_look_up_and_an_operator_may_read_metrics_too(
    lookup: Ask, tokens: WatchedFiles[Any]
) -> None:
    """Metrics, events and such take the operator's role: a client's token is known there, but may not do that (403)."""
    expected = [200, 200, 200, 200, 200, 404, 307]
    async with lookup(AccessControl(tokens=tokens)) as asked:
        for token in (CLIENT, OPERATOR):
            assert [(await asked.get(path, token))[0] for path in CLIENT_PATHS] == expected
        for path in OPERATOR_PATHS:
            status, headers, text = await asked.get(path, CLIENT)
            assert (status, "WWW-Authenticate" in headers) == (403, False)
            assert text == "The token of alice may not do this: it takes one with the role operator.\n"
            assert (await asked.get(path, OPERATOR))[0] == 200


async def test_a_caller_sees_only_its_services(lookup: Ask, tokens: WatchedFiles[Any]) -> None:
    """Another service is 403 by any path, whether it exists or not, and no list names it."""
    async with lookup(AccessControl(tokens=tokens)) as asked:
        for path in ("/", "/next", "/next/classify", "/instances/classify", "/to/classify/", "/to/none/", "/next/none"):
            status, _, text = await asked.get(path, OF_CATS)
            assert (status, text.startswith("The token of carl is not for the service '")) == (403, True), path
        assert (await asked.ask("POST", "/", OF_CATS))[0] == 403
        assert (await asked.get("/services", OF_CATS))[2] == "[]"
        assert (await asked.get("/next/cats", OF_CATS))[2] == "There is no service 'cats', nor any other.\n"


@pytest.mark.parametrize("path", ["/to/cl%61ssify/", "/to//classify/", "/to/cats%2F..%2Fclassify/", "/next/cats/"])
async def test_no_spelling_of_a_path_goes_around_the_check(lookup: Ask, tokens: WatchedFiles[Any], path: str) -> None:
    """What is checked is the very name that is looked up, however the path writes it."""
    async with lookup(AccessControl(tokens=tokens)) as asked:
        assert (await asked.get(path, OF_CATS))[0] in (403, 404)


async def test_a_token_that_leaves_the_file_is_refused_at_once(lookup: Ask, tokens: WatchedFiles[Any]) -> None:
    """What was decided for a text of a request ends with the token file that it was decided by; connections stay."""
    async with lookup(AccessControl(tokens=tokens)) as asked:
        assert (await asked.get("/next", CLIENT))[0] == 200
        tokens.paths[0].write_text('[zoe]\ntoken = "the-new-token"\n')
        await tokens.look()
        assert (await asked.get("/next", CLIENT))[0] == 401
        assert (await asked.get("/next", "the-new-token"))[0] == 200


async def test_lookups_with_a_token_take_the_fast_path(tokens: WatchedFiles[Any]) -> None:
    """A token costs no more than another header; a wrong one is answered by the framework."""
    text = PLAIN.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer %s\r\n\r\n" % CLIENT.encode())
    async with served(fast=True, access=AccessControl(tokens=tokens)) as (port, path):
        await conversation(port, [text, text])
        assert path.answered == 2
        await conversation(port, [text.replace(CLIENT.encode(), b"wrong"), PLAIN])
        assert path.answered == 2


@pytest.mark.parametrize("token", [CLIENT, OPERATOR, OF_CATS, "wrong", ""])
async def test_a_client_cannot_tell_the_two_paths_apart(tokens: WatchedFiles[Any], token: str) -> None:
    """Whoever asks, both paths say the same."""
    said = []
    lines = b"\r\nAuthorization: Bearer %s\r\n\r\n" % token.encode()
    requests = [PLAIN.replace(b"\r\n\r\n", lines), PLAIN.replace(b"/next", b"/").replace(b"\r\n\r\n", lines)]
    for fast in (True, False):
        async with served(fast=fast, access=AccessControl(tokens=tokens)) as (port, _):
            said.append((await conversation(port, requests))[0])
    assert alike(said[0]) == alike(said[1])


async def test_a_caller_above_its_rate_is_told_when_to_ask_again(lookup: Ask, tokens: WatchedFiles[Any]) -> None:
    """Two lookups pass, the third is 429 with Retry-After; another caller notices nothing."""
    async with lookup(AccessControl(tokens=tokens)) as asked:
        answers = [await asked.get("/next", SLOW) for _ in range(3)]
        assert [answer[0] for answer in answers] == [200, 200, 429]
        assert answers[2][1]["Retry-After"] == "1"
        assert answers[2][2] == "sam has used its quota of 2 requests per second here: ask again in 1 s.\n"
        assert (await asked.get("/next", CLIENT))[0] == 200
        assert (await asked.get("/healthz", SLOW))[0] == 200


@pytest.mark.parametrize(("host", "status"), [("evil.example", 421), ("box.example:1", 200), ("127.0.0.1:1", 200)])
async def test_a_name_that_a_page_may_have_rebound_is_refused(
    lookup: Ask, tokens: WatchedFiles[Any], host: str, status: int
) -> None:
    """With a token file only names of this server are answered, health included."""
    async with lookup(AccessControl(tokens=tokens, hosts=HostNames(["box.example"]))) as asked:
        for path in ("/next", "/healthz"):
            assert (await asked.get(path, CLIENT, Host=host))[0] == status


async def test_pages_of_an_allowed_origin_may_ask(lookup: Ask) -> None:
    """A preflight is answered without a token, and answers of all kinds carry the page's origin."""
    async with access_control(AccessSettings(cors_origins=(PAGE,))) as access, lookup(access) as asked:
        status, headers, _ = await asked.ask("OPTIONS", "/next", Origin=PAGE, Access_Control_Request_Method="GET")
        assert (status, headers["Access-Control-Allow-Origin"]) == (204, PAGE)
        for method, path, expected in (("GET", "/next", 200), ("GET", "/nowhere", 404), ("POST", "/", 307)):
            status, headers, _ = await asked.ask(method, path, Origin=PAGE)
            assert (status, headers["Access-Control-Allow-Origin"]) == (expected, PAGE)
        assert "Access-Control-Allow-Origin" not in (await asked.get("/next", Origin="https://evil.example"))[1]


async def test_a_page_may_read_why_it_is_refused(lookup: Ask, tokens: WatchedFiles[Any], tmp_path: Path) -> None:
    """A 401 carries the page's origin, too, else the browser hides it; a preflight needs no token."""
    settings = AccessSettings(tokens.paths[0], cors_origins=(PAGE,))
    async with access_control(settings) as access, lookup(access) as asked:
        status, headers, _ = await asked.get("/next", Origin=PAGE)
        assert (status, headers["Access-Control-Allow-Origin"]) == (401, PAGE)
        status, _, _ = await asked.ask("OPTIONS", "/next", Origin=PAGE, Access_Control_Request_Method="GET")
        assert status == 204


async def test_off_by_default_no_page_may_ask(lookup: Ask) -> None:
    """Without --cors-origin no answer carries a permission, and OPTIONS is a method like others."""
    async with lookup(AccessControl()) as asked:
        status, headers, _ = await asked.ask("OPTIONS", "/next", Origin=PAGE, Access_Control_Request_Method="GET")
        assert (status, "Access-Control-Allow-Origin" in headers) == (405, False)
        assert "Access-Control-Allow-Origin" not in (await asked.get("/next", Origin=PAGE))[1]


async def test_a_refused_caller_never_sends_its_body(tokens: WatchedFiles[Any]) -> None:
    """`Expect: 100-continue` is answered with the 401 itself, and the connection ends."""
    request = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\nExpect: 100-continue\r\n\r\n"
    async with served(fast=True, access=AccessControl(tokens=tokens)) as (port, _):
        said, _ = await conversation(port, [request])
    assert said.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert (b"100 Continue" in said, b"Connection: close" in said) == (False, True)


async def test_dns_beside_tokens_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """DNS carries no tokens: whoever turns it on is told what that means."""
    access, stop = AccessSettings(write_tokens(tmp_path)), asyncio.Event()
    stop.set()
    await serve(RegistrySettings(ConsulSettings(url="http://127.0.0.1:1"), port=0, dns_port=0, access=access), stop)
    assert "DNS carries no tokens: everybody who reaches port" in caplog.text
