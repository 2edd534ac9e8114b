"""The files of a server's TLS: what is refused, and what is read again."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from registry.runtime import file_watch
from registry.runtime.errors import SettingsError
from registry.runtime.tls.server import ServerTls, TlsFiles, server_context, serving_tls
from tests.support.security.certificates import Authority, Pem, write
from tests.support.waiting import until


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"), name="other authority")


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> TlsFiles:
    """Files of the test's own, to be replaced at will."""
    pem = authority.sign("server")
    files = TlsFiles(tmp_path / "server.pem", tmp_path / "server.key")
    install(pem, files)
    return files


@pytest.fixture
def looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_watch, "LOOK_EVERY_S", 0.01)


def install(pem: Pem, files: TlsFiles) -> None:
    write(files.cert, pem.cert.read_bytes())
    write(files.key, pem.key.read_bytes())


def trusting(*authorities: Authority, shows: Pem | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the default one reads all of the system's authorities
    for authority in authorities:
        context.load_verify_locations(authority.ca)
    if shows is not None:
        context.load_cert_chain(shows.cert, shows.key)
    return context


@asynccontextmanager
async def echoing(server: ServerTls) -> AsyncIterator[int]:
    """A server that sends back what it gets; its port."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(100):
                writer.write(data)
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=server.context)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"hello")
    return await asyncio.wait_for(reader.readexactly(5), 5)


async def subject(port: int, context: ssl.SSLContext) -> str:
    """Whose certificate the server shows, after an exchange; an ssl.SSLError or ConnectionError where there is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        assert await echo(reader, writer) == b"hello"
        return str(writer.get_extra_info("peercert")["subject"][0][0][1])
    finally:
        writer.close()


async def shows(port: int, context: ssl.SSLContext) -> str | None:
    try:
        return await subject(port, context)
    except (OSError, asyncio.IncompleteReadError):
        return None


@pytest.mark.usefixtures("looked_at_often")
async def test_a_new_certificate_is_shown_without_dropping_a_connection(
    files: TlsFiles, authority: Authority, other: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """New connections see the new certificate, be it of another authority; one that was there goes on."""
    caplog.set_level(logging.INFO)
    trust = trusting(authority, other)
    async with serving_tls(files) as server:
        assert server is not None
        async with echoing(server) as port:
            kept = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
            assert await subject(port, trust) == "server"
            ends_s = server.expires_at_s()
            install(other.sign("renewed", days=60), files)
            await until(lambda: "has been read again" in caplog.text)
            assert await subject(port, trust) == "renewed"
            assert server.expires_at_s() - ends_s == pytest.approx(30 * 86400, abs=60)
            assert await echo(*kept) == b"hello"
            kept[1].close()


@pytest.mark.usefixtures("looked_at_often")
async def test_a_broken_certificate_is_not_used(
    files: TlsFiles, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """One that does not fit its key is logged, once, and the last good one stays; the next good one is used."""
    trust = trusting(authority)
    async with serving_tls(files) as server:
        assert server is not None
        async with echoing(server) as port:
            write(files.cert, authority.sign("misfit").cert.read_bytes())
            await until(lambda: "does not belong" in caplog.text)
            assert await subject(port, trust) == "server"
            files.key.unlink()
            await until(lambda: "cannot be read" in caplog.text)
            assert await subject(port, trust) == "server"
            install(authority.sign("mended"), files)
            await until(lambda: _is("mended", port, trust))
    assert caplog.text.count("does not belong") == 1
    assert "Traceback" not in caplog.text


async def _is(name: str, port: int, trust: ssl.SSLContext) -> bool:
    return await shows(port, trust) == name


@pytest.mark.usefixtures("looked_at_often")
async def test_the_authorities_of_clients_are_read_again(
    files: TlsFiles, authority: Authority, other: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A client without a certificate never gets in, and one whose authority was replaced not any more."""
    caplog.set_level(logging.INFO)
    client_ca = tmp_path / "clients.pem"
    write(client_ca, authority.ca.read_bytes())
    ours, theirs = (trusting(authority, shows=a.sign("client")) for a in (authority, other))
    async with serving_tls(replace(files, client_ca=client_ca)) as server:
        assert server is not None
        async with echoing(server) as port:
            assert await shows(port, trusting(authority)) is None
            assert await shows(port, theirs) is None
            assert await shows(port, ours) == "server"
            write(client_ca, other.ca.read_bytes())
            await until(lambda: "has been read again" in caplog.text)
            assert await shows(port, ours) is None
            assert await shows(port, theirs) == "server"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_nothing_older_than_tls_1_2_is_accepted(
    files: TlsFiles, authority: Authority, version: ssl.TLSVersion
) -> None:
    """A client that can speak such a version, as a server that accepts it shows, is turned away."""
    old = trusting(authority)
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = old.maximum_version = version
    old.set_ciphers("ALL:@SECLEVEL=0")
    server = ServerTls(files)
    async with echoing(server) as port:
        assert await shows(port, old) is None
    lenient = ServerTls(files)
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        lenient.context.minimum_version = version
    lenient.context.set_ciphers("ALL:@SECLEVEL=0")
    async with echoing(lenient) as port:
        if await shows(port, old) is None:
            pytest.skip("this OpenSSL has no such version at all")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_1_2_and_1_3_are_spoken(files: TlsFiles, authority: Authority, version: ssl.TLSVersion) -> None:
    """With authenticated encryption and forward secrecy, and HTTP/1.1 agreed on."""
    context = trusting(authority)
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with echoing(ServerTls(files)) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        connection = writer.get_extra_info("ssl_object")
        assert connection.selected_alpn_protocol() == "http/1.1"
        assert "GCM" in connection.cipher()[0] or "CHACHA20" in connection.cipher()[0]
        writer.close()


@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA"])
async def test_weak_ciphers_are_not_agreed_on(files: TlsFiles, authority: Authority, cipher: str) -> None:
    """Neither without forward secrecy nor without authenticated encryption."""
    context = trusting(authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher)
    async with echoing(ServerTls(files)) as port:
        assert await shows(port, context) is None


def test_files_that_cannot_be_used_are_told(authority: Authority, other: Authority, tmp_path: Path) -> None:
    """Each in one sentence that names the file."""
    good, misfit = authority.sign("good"), other.sign("misfit")
    secret = authority.sign("secret", password="s3cret")
    text = tmp_path / "text.pem"
    text.write_text("no certificate\n")
    for files, sentence in (
        (
            TlsFiles(tmp_path / "nowhere.pem", good.key),
            r"^--tls-cert names .*nowhere.pem, which cannot be read: No such",
        ),
        (
            TlsFiles(good.cert, tmp_path / "nowhere.key"),
            r"^--tls-key names .*nowhere.key, which cannot be read: No such",
        ),
        (TlsFiles(good.cert, tmp_path), r"^--tls-key names .*, which cannot be read: Is a directory"),
        (TlsFiles(good.cert, good.key, tmp_path / "nowhere.ca"), r"^--tls-client-ca names .*nowhere.ca, which cannot"),
        (TlsFiles(good.cert, misfit.key), r"misfit.key does not belong to the certificate in .*good.pem"),
        (TlsFiles(secret.cert, secret.key), r"secret.key is protected by a password"),
        (TlsFiles(text, good.key), r"^--tls-cert .*text.pem and --tls-key .* cannot be used"),
        (TlsFiles(good.cert, text), r"^--tls-cert .* and --tls-key .*text.pem cannot be used"),
        (TlsFiles(good.cert, good.key, text), r"^--tls-client-ca .*text.pem cannot be used"),
    ):
        with pytest.raises(SettingsError, match=sentence) as refused:
            server_context(files)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("days", "warning"), [(-1, "has expired"), (3, "expires on"), (30, None)])
def test_a_certificate_that_expires_is_warned_of(
    authority: Authority, days: float, warning: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """It is used, because a server without TLS would be worse, and the log says so."""
    pem = authority.sign("expiring", days=days)
    server_context(TlsFiles(pem.cert, pem.key))
    assert (warning in caplog.text) if warning else not caplog.records


def test_flags_that_need_a_certificate() -> None:
    """A key or an authority alone is a mistake; a certificate alone holds its key, too."""
    path = Path("x.pem")
    assert TlsFiles.from_flags(None, None, None) is None
    assert TlsFiles.from_flags(path, None, None) == TlsFiles(path, path)
    for key, client_ca, flag in ((path, None, "--tls-key"), (None, path, "--tls-client-ca")):
        with pytest.raises(SettingsError, match=f"^{flag} is of no use without a certificate"):
            TlsFiles.from_flags(None, key, client_ca)
    files = TlsFiles(path, Path("x.key"), Path("ca.pem"))
    assert files.as_flags() == ["--tls-cert", "x.pem", "--tls-key", "x.key", "--tls-client-ca", "ca.pem"]
