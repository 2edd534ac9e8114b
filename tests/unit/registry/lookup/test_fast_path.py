"""The fast path and the framework behind it, side by side: a client cannot tell them apart."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from registry.backend.errors import BackendUnavailable
from registry.backend.health_answer import HealthAnswer
from registry.discovery.directory import Directory
from registry.discovery.service import Service
from registry.instances.instance import Instance
from registry.lookup import fast_path
from registry.lookup.fast_path import LOOKUPS_AT_MOST, TEXTS_AT_MOST, FastPath
from tests.support.fakes import FakeCatalog
from tests.support.lookups.lookup_app import PLAIN, PLAIN_TARGETS, alike, served
from tests.support.raw_http import conversation
from tests.support.waiting import until

targets = st.sampled_from([*PLAIN_TARGETS, b"/next/" + b"x" * 200, b"/" + b"y" * 3000, b"/next/\xff"])
methods = st.sampled_from([b"GET"] * 6 + [b"HEAD", b"POST", b"OPTIONS", b"get", b"BREW"])
versions = st.sampled_from([b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1 ", b"http/1.1"])
headers = st.lists(
    st.sampled_from(
        [
            b"User-Agent: curl/7.88.1",
            b"Accept: */*",
            b"accept: application/json",
            b"ACCEPT: text/html, application/json;q=0.5",
            b"Accept-Encoding: gzip, deflate",
            b"Connection: keep-alive",
            b"Connection: close",
            b"X-Odd: 1",
            b"X-Request-Id: call-1",
            b"x-request-id: call-2",
            b"X-Request-Id: two words",
            b"X-Request-Id: " + b"i" * 129,
            b"Content-Length: 0",
            b"Content-Length: 5",
            b"Content-Length: -1",
            b"Transfer-Encoding: chunked",
            b"Expect: 100-continue",
            b"Upgrade: websocket",
            b"Host: second",
            b"User-Agent : spaced",
            b"User-Agent:tight",
            b"User-Agent:   wide   ",
            b" folded: line",
            b"Accept: \xc3\xa9\xff",
            b"NoColon",
            b"Range: bytes=0-1",
        ]
    ),
    max_size=4,
)
hosts = st.sampled_from(
    [b"Host: 127.0.0.1:12480", b"Host: localhost", b"host: 10.9.9.9", b"Host: [::1]:1", b"Host: ", b""]
)
ends = st.sampled_from([b"\r\n"] * 8 + [b"\n"])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    end = draw(ends)
    lines = [b" ".join([draw(methods), draw(targets), draw(versions)]), draw(hosts), *draw(headers)]
    body = draw(st.sampled_from([b""] * 6 + [b"12345", b"0\r\n\r\n"]))
    return end.join(line for line in lines if line) + end + end + body


@st.composite
def fragmented(draw: st.DrawFn) -> list[bytes]:
    """One to three requests, cut apart and joined at will."""
    whole = draw(st.lists(requests(), min_size=1, max_size=3))
    if draw(st.booleans()):
        return whole
    text = b"".join(whole)
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=3)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True) if a < b]


@given(fragments=fragmented(), leader=st.booleans(), panic=st.booleans())
@settings(max_examples=150, deadline=None)
@example(fragments=[PLAIN], leader=True, panic=False)
@example(fragments=[PLAIN], leader=False, panic=False)
@example(fragments=[PLAIN], leader=True, panic=True)
@example(fragments=[PLAIN], leader=False, panic=True)
@example(fragments=[PLAIN, PLAIN], leader=True, panic=False)
@example(fragments=[PLAIN + PLAIN], leader=True, panic=False)
@example(fragments=[PLAIN[:10], PLAIN[10:]], leader=True, panic=False)
@example(fragments=[PLAIN, PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")], leader=True, panic=False)
@example(fragments=[PLAIN.replace(b"/next", b"/"), PLAIN.replace(b"localhost", b"elsewhere")], leader=True, panic=False)
def test_a_client_cannot_tell_them_apart(fragments: list[bytes], leader: bool, panic: bool) -> None:
    """Whatever is sent, in whatever pieces, both say the same and close at the same point; stale, in panic, or not."""

    async def both() -> tuple[tuple[bytes, bool], tuple[bytes, bool]]:
        async with (
            served(fast=True, leader=leader, panic=panic) as (fast_port, _),
            served(fast=False, leader=leader, panic=panic) as (slow_port, _),
        ):
            return await conversation(fast_port, fragments), await conversation(slow_port, fragments)

    fast, slow = asyncio.run(both())
    assert (alike(fast[0]), fast[1]) == (alike(slow[0]), slow[1])


@pytest.mark.parametrize("leader", [True, False])
async def test_plain_lookups_take_the_fast_path(leader: bool) -> None:
    """The requests that matter are really answered by the fast path, on a kept connection and in an outage too."""
    async with served(fast=True, leader=leader) as (port, path):
        plain = [PLAIN, PLAIN.replace(b"/next", b"/"), PLAIN.replace(b"/next", b"/next/classify")]
        await conversation(port, plain)
        assert path.answered == 3


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(("meta", "scheme"), [({}, b"http"), ({"scheme": "https"}, b"https")])
async def test_the_scheme_of_a_worker_is_told(fast: bool, meta: dict[str, str], scheme: bytes) -> None:
    """`?scheme=1` puts it before the address, JSON has it as a field, and the 307 leads to it."""
    async with served(fast=fast, meta=meta) as (port, path):
        for target in (b"/next?scheme=1", b"/next/classify?scheme=1"):
            said, _ = await conversation(port, [PLAIN.replace(b"/next", target)])
            assert b"\r\n\r\n" + scheme + b"://127.0.0.1:9001\n" in said
        assert path.answered == 2 * fast
        said, _ = await conversation(port, [PLAIN.replace(b"/next", b"/next?scheme=1&count=2")])
        assert b"\r\n\r\n" + scheme + b"://127.0.0.1:9001\n" in said
        said, _ = await conversation(port, [PLAIN.replace(b"Host", b"Accept: application/json\r\nHost")])
        assert b'"scheme": "' + scheme + b'"' in said
        said, _ = await conversation(port, [PLAIN.replace(b"GET /next", b"POST /to/classify/x?y=1")])
        assert b"\r\nLocation: " + scheme + b"://127.0.0.1:9001/x?y=1\r\n" in said


async def test_answers_of_the_fast_path_tell_of_panic() -> None:
    """While all are handed out though fewer than half are healthy, prepared answers say how many are."""
    async with served(fast=True, leader=False, panic=True) as (port, path):
        said, _ = await conversation(port, [PLAIN])
        assert path.answered == 1
        assert said.startswith(b"HTTP/1.1 200 OK\r\nX-Registry-Stale: 0\r\nX-Registry-Panic: 0/1\r\nContent-Type: ")


async def test_different_request_texts_share_prepared_answers() -> None:
    """5,000 different texts that ask for the same prepare one answer, and a bounded number of texts is kept."""
    async with served(fast=True) as (_, path):
        lookups = path.lookups_at("127.0.0.1")
        for i in range(5_000):
            text = PLAIN.replace(b"\r\n\r\n", f"\r\nUser-Agent: client/{i}\r\n\r\n".encode())
            assert path.answer(text, lookups, "127.0.0.1") is not None
            await asyncio.sleep(0)
        assert path.prepared_answers == 1
        assert len(lookups) <= TEXTS_AT_MOST


async def test_different_hosts_do_not_fill_the_memory() -> None:
    """Each host asked for `/` is a lookup with a rotation of its own: a bounded number of them is kept."""
    async with served(fast=True) as (_, path):
        lookups = path.lookups_at("127.0.0.1")
        for i in range(5_000):
            text = PLAIN.replace(b"/next", b"/").replace(b"localhost", f"host{i}".encode())
            assert path.answer(text, lookups, "127.0.0.1") is not None
            await asyncio.sleep(0)
        assert path.prepared_answers == 1
        assert len(lookups) <= TEXTS_AT_MOST
        assert len({id(lookup) for lookup in lookups.values()}) <= LOOKUPS_AT_MOST


async def test_prepared_answers_end_with_the_instances() -> None:
    """What was prepared for instances that are gone is dropped."""
    catalog = FakeCatalog(classify=tuple(Instance("classify", f"w{i}", "127.0.0.1", 9000 + i) for i in range(50)))
    async with Directory(catalog, default="classify") as directory:  # type: ignore[arg-type]  # a fake
        service = directory.find("classify")
        assert service is not None
        await service.wait_until_known(timeout_s=5)
        path = FastPath(directory)
        lookups = path.lookups_at("127.0.0.1")
        named = {path.answer(PLAIN, lookups, "127.0.0.1") for _ in range(50)}
        assert (len(named), path.prepared_answers) == (50, 50)
        catalog.put("classify", Instance("classify", "new", "127.0.0.1", 8000))
        await until(lambda: len(service.snapshot.instances) == 1)
        answer = path.answer(PLAIN, lookups, "127.0.0.1")
        assert answer is not None
        assert answer.endswith(b"127.0.0.1:8000\n")
        assert path.prepared_answers == 1


class FailingCatalog(FakeCatalog):
    """A catalog that can be made to fail."""

    failing = False

    async def health(self, service: str, *, index: int = 0, wait_s: float = 0.0) -> HealthAnswer:
        answer = await super().health(service, index=index, wait_s=wait_s)
        if self.failing:
            raise BackendUnavailable("Consul is away.")
        return answer


@asynccontextmanager
async def fast_path_over(
    catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[FastPath, Service, Clock]]:
    """A fast path over a catalog's service `classify`, and the clock by which it dates answers."""
    clock = Clock()
    monkeypatch.setattr(fast_path, "time", clock)
    async with Directory(catalog, default="classify") as directory:  # type: ignore[arg-type]  # a fake
        service = directory.find("classify")
        assert service is not None
        await service.wait_until_known(timeout_s=5)
        yield FastPath(directory), service, clock


class Clock:
    """Seconds since 1970 that a test sets."""

    now_s = 1_764_342_000.25

    def __call__(self) -> float:
        return self.now_s


def workers(count: int) -> tuple[Instance, ...]:
    return tuple(Instance("classify", f"w{i}", "127.0.0.1", 9000 + i, version=str(i % 2)) for i in range(count))


def asking(path: FastPath) -> Callable[..., bytes]:
    """A function that asks for a target, with JSON or without, and returns the response."""

    def ask(target: bytes = b"/next", *, json: bool = False) -> bytes:
        accept = b"\r\nAccept: application/json\r\n\r\n" if json else b"\r\n\r\n"
        text = PLAIN.replace(b"/next", target).replace(b"\r\n\r\n", accept)
        answer = path.answer(text, path.lookups_at("127.0.0.1"), "127.0.0.1")
        assert answer is not None
        return answer

    return ask


def ports(answer: bytes) -> list[int]:
    """The ports that a response names, in its order."""
    return [int(port) - 9000 for port in re.findall(rb"127\.0\.0\.1:(90\d\d)", answer.partition(b"\r\n\r\n")[2])]


async def test_ready_answers_keep_one_rotation_for_all_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked for in turns, one worker or several, as text or JSON, workers are named in strict rotation."""
    async with fast_path_over(FakeCatalog(classify=workers(5)), monkeypatch) as (path, _, _clock):
        ask = asking(path)
        named = []
        for _ in range(40):
            named += ports(ask()) + ports(ask(json=True)) + ports(ask(b"/next?count=3")) + ports(ask(b"/next?scheme=1"))
        assert named == [(named[0] + turn) % 5 for turn in range(40 * 6)]
        assert path.answered == 160


async def test_workers_of_a_version_are_named_in_rotation(monkeypatch: pytest.MonkeyPatch) -> None:
    """`?version=` has a rotation of its own, on the fast path too; a version that nobody has is left to aiohttp."""
    async with fast_path_over(FakeCatalog(classify=workers(6)), monkeypatch) as (path, _, _clock):
        ask = asking(path)
        named = [port for _ in range(9) for port in ports(ask(b"/next?version=1"))]
        assert sorted(named[:3]) == [1, 3, 5]
        assert named == named[:3] * 3
        nobody = PLAIN.replace(b"/next", b"/next?version=7")
        assert path.answer(nobody, path.lookups_at("127.0.0.1"), "127.0.0.1") is None


@pytest.mark.parametrize("seconds", [0.75, 5.0, -0.5, -3600.0])
async def test_ready_answers_have_the_date_of_their_second(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """An answer has the present date, also after the clock was set back."""
    async with fast_path_over(FakeCatalog(classify=workers(1)), monkeypatch) as (path, _, clock):
        ask = asking(path)
        for now_s in (clock.now_s, clock.now_s + seconds):
            clock.now_s = now_s
            date = f"\r\nDate: {formatdate(now_s, usegmt=True)}\r\n".encode()
            assert [date in ask() for _ in range(3)] == [True] * 3


async def test_ready_answers_end_when_the_snapshot_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as Consul does not confirm the workers, answers say so."""
    catalog = FailingCatalog(classify=workers(1))
    async with fast_path_over(catalog, monkeypatch) as (path, service, _):
        ask = asking(path)
        assert b"X-Registry-Stale" not in ask() + ask()
        catalog.failing = True
        catalog.put("classify", *workers(1))
        await until(lambda: service.snapshot.stale)
        assert b"\r\nX-Registry-Stale: " in ask()


async def test_ready_answers_end_with_following(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that is not followed any more is left to aiohttp, which follows it anew."""
    catalog = FakeCatalog(classify=workers(1), cats=())
    async with fast_path_over(catalog, monkeypatch) as (path, service, _):
        ask = asking(path)
        assert ask() == ask()
        before = service.generation
        await service.stop()
        assert service.generation is not before
