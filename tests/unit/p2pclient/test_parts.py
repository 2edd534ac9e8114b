"""The small parts of a call: addresses, media types, lines of output."""

from __future__ import annotations

import errno
import inspect
import io
import json

import pytest
from PIL import Image

from p2pclient import AsyncClient, BadImage, Classification, Client, Label, Worker
from p2pclient.cli import formats
from p2pclient.discovery.address import registry_url
from p2pclient.messages import Answer
from p2pclient.payloads.image import media_type

PREDICTION = Classification((Label("tabby", 0.61), Label("tiger cat", 0.3)), "10.0.0.1:4711", 0.0123, 1)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("lookup", "http://lookup:12480"),
        ("lookup:8080", "http://lookup:8080"),
        ("127.0.0.1:4711", "http://127.0.0.1:4711"),
        ("[::1]", "http://[::1]:12480"),
        ("[::1]:4711", "http://[::1]:4711"),
        ("http://lookup", "http://lookup"),
        ("https://gateway/p2p/", "https://gateway/p2p/"),
    ],
)
def test_addresses(text, url):
    """A bare host gets the usual port, a URL means what it says."""
    assert str(registry_url(text)) == url


@pytest.mark.parametrize(
    "text",
    ["", ":80", "::1", "a b", "host:port", "host:70000", "ftp://host", "http://", "http://host/?x=1", "a#b"],
)
def test_what_is_no_address(text):
    """Anything else is refused with the two forms that would do."""
    with pytest.raises(ValueError, match="give http://HOST:PORT or HOST:PORT"):
        registry_url(text)


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "webp", "bmp"])
def test_media_types(kind):
    """Real images of every kind that workers take are told by their first bytes."""
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, kind)
    assert media_type(file.getvalue()) == f"image/{kind}"


@pytest.mark.parametrize("data", [b"", b"RIFF____WAVE", b"plain text", b"\x89PN"])
def test_unknown_media_types(data):
    """What is not recognised is declared as mere bytes: the worker decides."""
    assert media_type(data) == "application/octet-stream"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3),
        (" 0 ", 0),
        ("", 0),
        ("-1", 0),
        ("1.5", 0),
        ("nan", 0),
        ("9" * 400, 0),
        ("Wed, 21 Oct 2026", 0),
        ("٣", 0),
    ],
)
def test_retry_after(value, seconds):
    """Only a plain number of seconds counts; nothing a server sends makes the client wait for ever."""
    assert Answer(503, {"Retry-After": value}, b"").retry_after_s == seconds


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "too large"}', "too large"),
        (b"no worker\nsecond line", "no worker"),
        (b"\n\n  indented", "indented"),
        (b'{"error": 3}', '{"error": 3}'),
        (b"[1", "[1"),
        (b"\xff\x1b[31m", "\ufffd?[31m"),
        (b"x" * 5000, "x" * 300),
        (b"", ""),
    ],
)
def test_sentences(body, said):
    """Whatever a server answers becomes one short printable line."""
    assert Answer(500, {}, body).sentence() == said


def test_texts_for_people():
    """Labels stand in a column; in a list of files they stand behind the file."""
    assert formats.as_list(PREDICTION) == "tabby      0.610\ntiger cat  0.300\n"
    assert formats.as_line("a.jpg", PREDICTION) == "a.jpg: tabby 0.610, tiger cat 0.300\n"


def test_texts_for_programs():
    """JSON and CSV are each one line an item, whatever the file is called."""
    odd = 'a,"b\n.jpg'
    assert json.loads(formats.as_json(odd, PREDICTION)) == {
        "file": odd,
        "labels": [["tabby", 0.61], ["tiger cat", 0.3]],
        "worker": "10.0.0.1:4711",
        "took_s": 0.0123,
    }
    assert formats.as_json(odd, PREDICTION).count("\n") == 1
    assert formats.as_csv("a.jpg", PREDICTION) == "a.jpg,1,tabby,0.61,\na.jpg,2,tiger cat,0.3,\n"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.jpg"), "No such file or directory"),
        (
            IsADirectoryError(errno.EISDIR, "Is a directory", "a"),
            "no image in this folder: their names end in .bmp",
        ),
        (BadImage("send a JPEG"), "send a JPEG"),
        (OSError("odd"), "odd"),
    ],
)
def test_reasons(error, reason):
    """An error is told in one sentence that does not repeat the file's name."""
    assert formats.reason(error).startswith(reason)
    assert json.loads(formats.as_json("a.jpg", error))["error"] == formats.reason(error)
    assert formats.as_csv("a.jpg", error).startswith("a.jpg,,,,")


def test_an_ipv6_worker_stands_in_brackets():
    """The address of a worker can be put into a URL as it is."""
    assert Worker("classify", "a", "::1", 80).address == "[::1]:80"


def test_the_blocking_client_has_the_same_signatures():
    """Constructor and methods take the same arguments, and none of the public methods is missing."""
    assert str(inspect.signature(Client)) == str(inspect.signature(AsyncClient))
    public = {name for name in vars(AsyncClient) if not name.startswith("_")}
    assert {name for name in vars(Client) if not name.startswith("_")} == public
    for name in public - {"close", "classify_many"}:
        assert inspect.signature(getattr(Client, name)) == inspect.signature(getattr(AsyncClient, name))
    many = [inspect.signature(kind.classify_many).parameters for kind in (Client, AsyncClient)]
    assert [(p.name, p.kind, p.default) for p in many[0].values()] == [
        (p.name, p.kind, p.default) for p in many[1].values()
    ]
