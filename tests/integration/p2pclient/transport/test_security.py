"""Who is believed, who is told what, and how much is read of whom."""

from __future__ import annotations

import asyncio
import gzip
import logging
import ssl
import subprocess

import pytest

from p2pclient import TLS, AsyncClient, Balancing, Client, LookupUnavailable, ProtocolError, WorkerFailed

TOKEN = "s3cret-bearer"
CONSUL_TOKEN = "s3cret-consul"


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    """A certificate for 127.0.0.1 that is its own authority, its key, and a stranger's certificate."""
    folder = tmp_path_factory.mktemp("pem")
    for name in ("ours", "stranger"):
        command = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name}"
        files = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"]
        subject = ["-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run([*command.split(), *files, *subject], check=True, capture_output=True)
    return {name: str(folder / name) for name in ("ours.pem", "ours.key", "stranger.pem", "stranger.key")}


@pytest.fixture
def guarded(fleet, pem):
    """A lookup service and a worker that speak https and ask for a client certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pem["ours.pem"])
    context.load_cert_chain(pem["ours.pem"], pem["ours.key"])
    context.verify_mode = ssl.CERT_REQUIRED
    (worker,) = fleet.add()
    for server in (fleet.lookup, worker):
        server.stop()
        server.tls = context
        server.start()
    fleet.address = f"https://127.0.0.1:{fleet.lookup.port}"
    return fleet


@pytest.mark.parametrize("how", ["files", "context"])
async def test_https_with_a_client_certificate(guarded, pem, how):
    """With the authority and a certificate, in files or in a context, both steps go over https."""
    files = TLS(ca=pem["ours.pem"], cert=pem["ours.pem"], key=pem["ours.key"])
    context = ssl.create_default_context(cafile=files.ca)
    context.load_cert_chain(files.cert, files.key)
    tls = files if how == "files" else TLS(context=context)
    async with AsyncClient(guarded.address, worker_scheme="https", tls=tls) as client:
        assert (await client.classify(guarded.jpeg)).best.label == "tabby"


@pytest.mark.parametrize("lacks", ["authority", "certificate"])
async def test_no_https_without_proof(guarded, pem, lacks):
    """A server that nobody vouches for is not spoken to, nor a client without a certificate."""
    tls = TLS(ca=pem["stranger.pem" if lacks == "authority" else "ours.pem"])
    async with AsyncClient(guarded.address, timeout_s=0.5, tls=tls) as client:
        with pytest.raises(LookupUnavailable, match=r"its certificate is not trusted|wants a client.s certificate"):
            await client.lookup()
    assert guarded.lookup.asked == []


async def test_a_plain_worker_is_not_spoken_to_in_tls(fleet, pem):
    """Where https is wanted of workers, one that speaks plain HTTP gets no image."""
    (worker,) = fleet.add()
    async with AsyncClient(fleet.url, worker_scheme="https", tls=TLS(ca=pem["ours.pem"]), timeout_s=0.5) as client:
        with pytest.raises(WorkerFailed, match="TLS failed"):
            await client.classify(fleet.jpeg)
    assert worker.seen == []


async def test_the_token_goes_to_both(fleet):
    """A bearer token is sent to the lookup service and to workers that ask for one."""
    (worker,) = fleet.add()
    fleet.lookup.auth = "token"
    async with AsyncClient(fleet.url, token=TOKEN) as client:
        await client.classify(fleet.jpeg)
        await client.services()
    assert fleet.lookup.authorizations == {f"Bearer {TOKEN}"}
    assert worker.seen[0].headers["Authorization"] == f"Bearer {TOKEN}"


async def test_a_worker_redirects_nobody(fleet):
    """Neither the image nor the token goes where a worker points to."""
    pointing, other = fleet.add(2)
    fleet.lookup.workers = [pointing]
    pointing.behave = fleet.answers(307, "go there", Location=f"http://{other.address}/")
    async with AsyncClient(fleet.url, token=TOKEN) as client:
        with pytest.raises(ProtocolError, match="307"):
            await client.classify(fleet.jpeg)
    assert other.seen == []


async def test_what_is_compressed_is_not_unfolded(fleet):
    """Nobody asked for a compressed answer: a bomb stays as small as it came."""
    from aiohttp import web

    bomb = await asyncio.to_thread(gzip.compress, bytes(50 * 2**20))

    async def explode(*_):
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    fleet.add()[0].behave = explode
    async with AsyncClient(fleet.url, attempts=1, max_answer_bytes=2**20) as client:
        with pytest.raises(ProtocolError):
            await client.classify(fleet.jpeg)


async def test_the_bound_of_an_answer_can_be_set(fleet):
    """An answer of announced or unknown length is read up to the bound and no further."""
    fleet.add()[0].behave = fleet.says("[" + " " * 2000)
    async with AsyncClient(fleet.url, routing="lookup", attempts=1, max_answer_bytes=1000) as client:
        with pytest.raises(ProtocolError, match="larger than"):
            await client.classify(fleet.jpeg)


async def test_no_secret_is_told(closed_port, monkeypatch, caplog):
    """Neither repr nor errors nor logs hold a token or a password, however much is logged."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", CONSUL_TOKEN)
    told = []
    for registry, options in (
        (f"http://127.0.0.1:{closed_port}", {"token": TOKEN}),
        (f"http://user:s3cret-password@127.0.0.1:{closed_port}", {}),
        (f"consul://user:s3cret-password@127.0.0.1:{closed_port}", {"token": TOKEN}),
    ):
        async with AsyncClient(registry, timeout_s=0.3, **options) as client:
            with pytest.raises(LookupUnavailable) as caught:
                await client.classify(b"image")
            told += [repr(client), str(caught.value), repr(caught.value.__cause__)]
        told.append(repr(blocking := Client(registry, **options)))
        blocking.close()
    for registry in ("http://user:s3cret-password@a b", "ftp://user:s3cret@host", "consul://u:s3cret@h,other"):
        with pytest.raises(ValueError, match="address") as refused:
            AsyncClient(registry)
        told.append(str(refused.value))
    with pytest.raises(ValueError, match="one word") as refused:
        AsyncClient(token=f"{TOKEN}\n")
    told.append(str(refused.value))
    assert "s3cret" not in " ".join(told) + caplog.text


@pytest.mark.parametrize(
    "options",
    [
        {"token": ""},
        {"token": "a b"},
        {"registry": "http://u:p@host", "token": "t"},
        {"worker_scheme": "ftp"},
        {"routing": "guess"},
        {"top": 0},
        {"max_answer_bytes": 0},
        {"registry": "consul://a,http://b"},
    ],
)
def test_settings_that_exclude_each_other_are_refused(options):
    """What cannot be meant is told where the client is made."""
    with pytest.raises(ValueError, match=r"must be|one word|exclude|one kind|or more"):
        AsyncClient(**options)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (TLS, {"key": "key.pem"}),
        (TLS, {"context": ssl.create_default_context(), "ca": "ca.pem"}),
        (Balancing, {"subset": 0}),
        (Balancing, {"slow_start_s": -1}),
    ],
)
def test_groups_of_options_are_checked(kind, options):
    """Options that exclude each other, or are out of range, are told where the group is made."""
    with pytest.raises(ValueError, match=r"exclude|certificate|subset|above 0"):
        kind(**options)


def test_a_file_that_is_missing_is_told():
    """A certificate that cannot be read is an OSError where the client is made."""
    with pytest.raises(FileNotFoundError):
        AsyncClient(tls=TLS(ca="/nowhere.pem"))
