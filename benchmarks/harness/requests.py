"""Whole HTTP/1.1 requests as bytes, ready to be sent over a socket."""

from __future__ import annotations

BOUNDARY = "------------------------d74496d66958873e"
FORM_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
"""The Content-Type of what `form` makes."""


def post(body: bytes, content_type: str, *, path: str = "/", host: str = "127.0.0.1", headers: str = "") -> bytes:
    """A POST of `body`; further headers end with a line break each."""
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}{headers}\r\n".encode() + body


def form(content: bytes, content_type: str, *, field: str = "data", filename: str = "cat.jpg") -> bytes:
    """The body that `curl -F FIELD=@FILENAME` sends."""
    head = f'Content-Disposition: form-data; name="{field}"; filename="{filename}"\r\nContent-Type: {content_type}'
    return f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
