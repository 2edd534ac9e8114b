"""The pieces of a `multipart/form-data` body -> its fields, the wanted ones with their content.

Bytes are copied once, when a wanted field is cut out: delimiters are searched in the pieces themselves, with one
bytes.find over each piece and one over each joint. Rules: RFC 2046 section 5.1.1, RFC 7578. Every error is a
BadRequest or, above a limit, a TooLarge.
"""

from __future__ import annotations

import binascii
import quopri
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType

from worker.errors import BadRequest, TooLarge

FIELDS_AT_MOST = 256
HEAD_BYTES_AT_MOST = 16 << 10
HEADS_BYTES_AT_MOST = 64 << 10
"""Of all fields together: 256 bytes for each of 256 fields."""

# A parameter of a header: RFC 9110 section 5.6.6, with a quoted string's backslashes still in it.
_PARAMETER = re.compile(r';\s*([\w!#$%&\'*+.^`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))')

_PLAIN = ("", "binary", "8bit", "7bit")


def _base64(content: bytes) -> bytes:
    return binascii.a2b_base64(content.translate(None, b"\r\n\t "), strict_mode=True)


# RFC 7578 section 4.7 calls these deprecated, but clients made for mail still send them.
_DECODERS: Mapping[str, Callable[[bytes], bytes]] = MappingProxyType(
    {"base64": _base64, "quoted-printable": quopri.decodestring}
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form; its content is None unless its name is the wanted one."""

    name: str
    content: bytes | None


def is_form(content_type: str) -> bool:
    """Whether a request with this Content-Type is a form."""
    return content_type[:10].lower() == "multipart/"


def boundary_of(content_type: str) -> bytes:
    """The boundary in a multipart Content-Type. Raises BadRequest without a valid one."""
    boundary = _parameters(content_type).get("boundary", "").rstrip()
    if not (0 < len(boundary) <= 200 and boundary.isascii() and boundary.isprintable()):
        raise BadRequest(
            "The multipart body cannot be read: its Content-Type names no boundary. Let your HTTP library write that "
            "header, as curl -F does."
        )
    return boundary.encode()


def read_form(pieces: Sequence[bytes], boundary: bytes, *, wanted: str) -> Iterator[Field]:
    """The fields of a whole body, in order; bytes before the first and after the last are ignored."""
    joined = _Pieces([b"\r\n", *pieces])  # the first delimiter need not have a line break before it
    delimiter = b"\r\n--" + boundary
    starts = joined.find_all(delimiter, at_most=FIELDS_AT_MOST + 1)
    heads_bytes = 0
    for place, at in enumerate(starts):
        begin = joined.line_end(at + len(delimiter))
        if begin is None:
            return
        if place + 1 == len(starts):
            raise _cut_short()
        if place == FIELDS_AT_MOST:
            raise TooLarge(f"At most {FIELDS_AT_MOST} fields are taken in one form: send several.")
        head, content_at = _head(joined, begin, starts[place + 1])
        heads_bytes += content_at - begin
        if heads_bytes > HEADS_BYTES_AT_MOST:
            raise TooLarge(f"The headers of a form may have {HEADS_BYTES_AT_MOST} bytes in all: send several forms.")
        yield _field(joined, head, content_at, starts[place + 1], wanted)
    raise BadRequest(
        "The multipart body is broken: it does not hold the boundary that its Content-Type names, alone on a line."
    )


def _field(joined: _Pieces, head: Mapping[str, str], content_at: int, end: int, wanted: str) -> Field:
    if is_form(head.get("content-type", "")):
        raise BadRequest("A multipart body within a multipart body is not taken: send the fields flat.")
    name = _parameters(head.get("content-disposition", "")).get("name", "")
    if name != wanted:
        return Field(name, None)
    return Field(name, _decoded(joined.cut(content_at, end), head.get("content-transfer-encoding", ""), name))


def _head(joined: _Pieces, begin: int, end: int) -> tuple[dict[str, str], int]:
    """A part's headers, their names in lower case, and where its content starts."""
    text = b"\r\n" + joined.cut(begin, min(end, begin + HEAD_BYTES_AT_MOST))
    length = text.find(b"\r\n\r\n")
    if length < 0:
        raise BadRequest("The multipart body is broken: the headers of a field do not end with an empty line.")
    head = {}
    for line in text[:length].decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        head[name.strip().lower()] = value.strip()
    return head, begin + length + 2


def _decoded(content: bytes, encoding: str, name: str) -> bytes:
    encoding = encoding.lower()
    if encoding in _PLAIN:
        return content
    if encoding not in _DECODERS:
        raise BadRequest(f"The field {name!r} has the Content-Transfer-Encoding {encoding[:40]!r}: send it as binary.")
    try:
        return _DECODERS[encoding](content)
    except binascii.Error as error:
        raise BadRequest(f"The field {name!r} is not the {encoding} that it says it is: {error}.") from error


def _parameters(header: str) -> dict[str, str]:
    """The parameters of a header such as `form-data; name="data"`, their names in lower case."""
    found = _PARAMETER.findall(header)
    return {name.lower(): _unquoted(quoted) if quoted else token for name, quoted, token in found}


def _unquoted(quoted: str) -> str:
    """A quoted string without the backslashes that escape (RFC 9110 section 5.6.4)."""
    return "\\".join(part.replace("\\", "") for part in quoted.split("\\\\"))


class _Pieces:
    """A sequence of bytes that is stored in pieces."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self._bases = [0, *accumulate(map(len, pieces))]

    def find_all(self, needle: bytes, *, at_most: int) -> list[int]:
        """The offsets of `needle`, at most `at_most` + 1 of them."""
        found: list[int] = []
        before, overlap = b"", len(needle) - 1
        for base, piece in zip(self._bases, self._pieces, strict=False):
            joint = before + piece[:overlap]
            at = joint.find(needle)
            if at >= 0:
                found.append(base - len(before) + at)
            at = piece.find(needle)
            while at >= 0 and len(found) <= at_most:
                found.append(base + at)
                at = piece.find(needle, at + len(needle))
            before = piece[-overlap:] if len(piece) >= overlap else (before + piece)[-overlap:]
        return found

    def line_end(self, at: int) -> int | None:
        """Where the line after a boundary that ends at `at` starts; None if that boundary closes the form."""
        rest = self.cut(at, at + 80)
        if rest.startswith(b"--"):
            return None
        line, end, _ = rest.partition(b"\r\n")
        if line.strip(b" \t"):
            raise BadRequest("The multipart body is broken: a line starts like its boundary but goes on otherwise.")
        if not end:
            raise _cut_short()
        return at + len(line) + 2

    def cut(self, begin: int, end: int) -> bytes:
        """The bytes from `begin` up to `end`, copied once."""
        views = []
        for place in range(bisect_right(self._bases, begin) - 1, len(self._pieces)):
            base = self._bases[place]
            if base >= end:
                break
            views.append(memoryview(self._pieces[place])[max(0, begin - base) : end - base])
        return b"".join(views)


def _cut_short() -> BadRequest:
    return BadRequest("The multipart body is cut short: its last boundary is missing. Send the whole form.")
