"""A form's pieces become its fields, however they were cut, or one sentence that says what is wrong."""

from __future__ import annotations

import base64
import itertools
import quopri
from collections.abc import Sequence

import pytest
from aiohttp import FormData, MultipartWriter
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import BadRequest, TooLarge, WorkerError
from worker.web.multipart import FIELDS_AT_MOST, boundary_of, read_form

HEAD = b'Content-Disposition: form-data; name="data"; filename="a.jpg"'


def part(content: bytes, head: bytes = HEAD) -> bytes:
    return b"--b\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


def fields(*pieces: bytes, boundary: bytes = b"b") -> list[tuple[str, bytes | None]]:
    return [(field.name, field.content) for field in read_form(pieces, boundary, wanted="data")]


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    at = sorted({place % (len(body) + 1) for place in places} | {0, len(body)})
    return [body[a:b] for a, b in itertools.pairwise(at)]


# Contents made of what delimiters are made of: the hardest to tell from one.
NASTY = st.lists(st.sampled_from([b"\r", b"\n", b"-", b"b", b"\r\n", b"\r\n-", b"\r\n--", b"x"]), max_size=30).map(
    b"".join
)


@given(
    contents=st.lists(NASTY | st.binary(max_size=60), min_size=1, max_size=5),
    places=st.lists(st.integers(0, 2000), max_size=12),
    preamble=st.sampled_from([b"", b"\r\n", b"This is a message in MIME.\r\n"]),
    epilogue=st.sampled_from([b"", b"\r\n", b"bye\r\n--boundary\r\n"]),
)
def test_whatever_way_a_form_is_cut_its_fields_come_out(
    contents: list[bytes], places: list[int], preamble: bytes, epilogue: bytes
) -> None:
    """The same contents, byte for byte and in order, wherever the network cut the body; around them anything."""
    body = preamble
    for content in contents:
        body += b"--boundary\r\n" + HEAD + b"\r\n\r\n" + content + b"\r\n"
    body += b"--boundary--" + epilogue
    assert fields(*cut(body, places), boundary=b"boundary") == [("data", content) for content in contents]


@given(body=NASTY | st.binary(max_size=200), places=st.lists(st.integers(0, 200), max_size=5))
def test_noise_is_fields_or_one_of_our_errors(body: bytes, places: list[int]) -> None:
    """No bytes make it raise anything but our errors, and how they are cut makes no difference."""
    whole, pieces = (outcome(part(b"x") + body), outcome(*cut(part(b"x") + body, places)))
    assert whole == pieces


def outcome(*pieces: bytes) -> list[tuple[str, bytes | None]] | str:
    try:
        return fields(*pieces)
    except WorkerError as error:
        return str(error)


def test_fields_of_other_names_are_passed_over_without_their_content() -> None:
    """A field that was not asked for is named, and its content is not copied."""
    other = b'content-disposition: form-data; name="note"'
    assert fields(part(b"hello", other) + part(b"cat") + b"--b--") == [("note", None), ("data", b"cat")]


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Disposition: form-data; name=data",
        b'CONTENT-DISPOSITION:form-data;filename="a;name=x.jpg";NAME="data"',
        b'Content-Type: image/jpeg\r\nContent-Disposition: form-data; filename="a\\"b.jpg"; name="d\\ata"',
    ],
)
def test_names_are_found_in_every_spelling(head: bytes) -> None:
    """Quoted or not, in any order and case, with semicolons, quotes and backslashes in a file's name."""
    assert fields(part(b"cat", head) + b"--b--") == [("data", b"cat")]


@pytest.mark.parametrize(
    ("header", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('multipart/form-data; boundary="a b:c"', b"a b:c"),
        (
            "Multipart/Form-Data;charset=utf-8;BOUNDARY=----WebKitFormBoundary7MA4YWxk",
            b"----WebKitFormBoundary7MA4YWxk",
        ),
    ],
)
def test_a_boundary_is_found_in_every_spelling(header: str, boundary: bytes) -> None:
    """Quoted or not, among other parameters, in any case."""
    assert boundary_of(header) == boundary


@pytest.mark.parametrize("header", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/x; boundary=é"])
def test_no_boundary_is_a_bad_request(header: str) -> None:
    """Without a boundary that can be used there is a sentence that names the header."""
    with pytest.raises(BadRequest, match="Content-Type names no boundary"):
        boundary_of(header)


def test_contents_encoded_for_mail_are_decoded() -> None:
    """base64 and quoted-printable are undone, identities are left alone."""
    content = bytes(range(256))
    for name, encoded in [
        (b"base64", base64.encodebytes(content)),
        (b"Quoted-Printable", quopri.encodestring(content)),
        (b"binary", content),
        (b"8bit", content),
    ]:
        head = HEAD + b"\r\nContent-Transfer-Encoding: " + name
        assert fields(part(encoded, head) + b"--b--") == [("data", content)]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "does not hold the boundary"),
        (b"\xff\xd8\xff a jpeg, not a form", "does not hold the boundary"),
        (b"--b", "cut short"),
        (b"--b\r\n", "cut short"),
        (part(b"cat")[:-2], "cut short"),
        (part(b"cat") + b"--b", "cut short"),
        (b"--b\r\nno empty line\r\n--b--", "do not end with an empty line"),
        (b"--b\r\n" + b"x" * 20_000 + b"\r\n\r\n\r\n--b--", "do not end with an empty line"),
        (b"--better\r\n\r\n\r\n--b--", "goes on otherwise"),
        (part(b"", b"Content-Type: multipart/mixed; boundary=c") + b"--b--", "within a multipart body"),
        (part(b"a", HEAD + b"\r\nContent-Transfer-Encoding: x-uuencode") + b"--b--", "x-uuencode.*binary"),
        (part(b"a", HEAD + b"\r\nContent-Transfer-Encoding: base64") + b"--b--", "is not the base64"),
    ],
)
def test_a_broken_form_says_what_is_wrong(body: bytes, sentence: str) -> None:
    """Each way to be broken is a 400 with its own sentence, however the body is cut."""
    for pieces in ([body], [body[i : i + 1] for i in range(len(body))]):
        with pytest.raises(BadRequest, match=sentence):
            fields(*pieces)


def test_the_line_of_a_boundary_may_end_in_spaces() -> None:
    """RFC 2046 allows padding that mail gateways add."""
    assert fields(b"--b \t\r\n" + HEAD + b"\r\n\r\ncat\r\n--b-- ") == [("data", b"cat")]


def test_a_form_of_very_many_fields_is_refused() -> None:
    """As many fields as are taken are read; one more is a 413, and a form of boundaries only costs no search."""
    assert len(fields(part(b"") * FIELDS_AT_MOST + b"--b--")) == FIELDS_AT_MOST
    for many in (FIELDS_AT_MOST + 1, 100_000):
        with pytest.raises(TooLarge, match=str(FIELDS_AT_MOST)):
            fields(part(b"") * many + b"--b--")


async def test_forms_of_aiohttp_are_read() -> None:
    """What an independent writer writes is read back."""
    data = FormData()
    data.add_field("data", b"\r\n--b", filename='ca"t.jpg')
    data.add_field("top", "5")
    form = data()
    assert isinstance(form, MultipartWriter)
    boundary = boundary_of(form.headers["Content-Type"])
    found = fields(await form.as_bytes(), boundary=boundary)
    assert found == [("data", b"\r\n--b"), ("top", None)]


def test_the_headers_of_all_fields_are_limited_together() -> None:
    """Many fields with large headers are refused before their parameters have cost much."""
    large = b'Content-Disposition: form-data; name="' + b"\\a" * 4000 + b'"'
    assert len(fields(part(b"x", large) * 7 + b"--b--\r\n")) == 7
    with pytest.raises(TooLarge, match=r"headers of a form may have 65536 bytes"):
        fields(part(b"x", large) * 9 + b"--b--\r\n")


@given(st.text(alphabet='\\"a', max_size=12))
def test_backslashes_escape_one_character_each(name: str) -> None:
    """A name in quotes comes out as it was before it was escaped."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').encode()
    assert (
        fields(part(b"x", b'Content-Disposition: form-data; name="z' + escaped + b'"') + b"--b--\r\n")[0][0]
        == "z" + name
    )
