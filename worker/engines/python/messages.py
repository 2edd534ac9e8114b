"""Arrays <-> what travels between a worker and a Python model's process: a JSON header, and the arrays' bytes.

    frame = length of the header (4 bytes) + length of the payload (8 bytes) + header + payload

A worker's arrays travel in memory that both processes share, and its frames have no payload; the model's arrays are the
payload of its frames. Nothing is unpickled, so that all that the model's code can send a worker is numbers and texts.
"""

from __future__ import annotations

import json
import math
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.engines.tensors import DTYPES, datatype_of

ALIGNED = 64
"""Each array begins at a multiple of so many bytes: a cache line, which vector units like."""

IMAGES = "images"
"""In a header: an array of objects that are uint8 [height, width, 3]."""

_PREFIX = struct.Struct("<IQ")
_LENGTH = np.dtype("<i8")  # of an element of BYTES; in JSON a thousand of them would take longer than all else

JOINED_BYTES = 64 << 10
"""Up to this size a payload is sent with its header, in one system call."""

HEADER_AT_MOST = 64 << 20
PAYLOAD_AT_MOST = 1 << 30
"""What is longer, in bytes, is no answer that a worker should hold."""


class ConnectionEnded(ConnectionError):
    """The other process has closed the connection, or has ended."""


class Frame(NamedTuple):
    """A header, the payload after it, and the file descriptors that came with it."""

    header: dict[str, Any]
    payload: NDArray[np.uint8]
    files: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Placed:
    """Arrays that have their places in a block of memory of `size` bytes; `described` goes into a header."""

    described: list[dict[str, Any]]
    pieces: list[tuple[int, NDArray[Any]]]
    size: int

    def write(self, memory: NDArray[np.uint8]) -> None:
        """Copy the arrays into a block of memory."""
        for at, array in self.pieces:
            memory[at : at + array.nbytes].view(array.dtype).reshape(array.shape)[...] = array


def placed(arrays: Mapping[str, NDArray[Any]]) -> Placed:
    """Places for arrays by name. Raises TypeError for arrays that no tensor can be."""
    described: list[dict[str, Any]] = []
    pieces: list[tuple[int, NDArray[Any]]] = []
    size = 0

    def place(array: NDArray[Any]) -> int:
        nonlocal size
        at = -(-size // ALIGNED) * ALIGNED
        size = at + array.nbytes
        if array.nbytes:
            pieces.append((at, array))
        return at

    for name, array in arrays.items():
        if array.dtype.kind != "O":
            datatype = datatype_of(array.dtype)
            if datatype is None or datatype == "BYTES":
                raise TypeError(f"{name} has elements of the type {array.dtype}, which no tensor has")
            entry = {"type": datatype, "shape": array.shape, "at": place(_little_endian(array))}
        elif array.size and isinstance(array.flat[0], np.ndarray):
            entry = {
                "type": IMAGES,
                "shapes": [image.shape for image in array],
                "at": [place(image) for image in array],
            }
        else:
            items = array.ravel().tolist()
            lengths = np.fromiter(map(len, items), _LENGTH, len(items))
            content = np.frombuffer(b"".join(items), np.uint8)
            entry = {"type": "BYTES", "shape": array.shape, "lengths": place(lengths), "at": place(content)}
        described.append({"name": name, **entry})
    return Placed(described, pieces, size)


def taken(described: Sequence[Mapping[str, Any]], memory: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """The arrays that a header describes: views of a block of memory, except for BYTES.

    Raises ValueError, TypeError or LookupError for a description that does not fit.
    """
    return {str(entry["name"]): _array(entry, memory) for entry in described}


def send(connection: socket.socket, header: Mapping[str, Any], payload: NDArray[np.uint8] | None = None) -> None:
    """Send one frame. Raises OSError."""
    text = json.dumps(header).encode()
    size = 0 if payload is None else payload.nbytes
    beginning = _PREFIX.pack(len(text), size) + text
    if payload is None or size > JOINED_BYTES:
        connection.sendall(beginning)
    if payload is not None:
        connection.sendall(payload.data if size > JOINED_BYTES else beginning + payload.tobytes())


def send_file(connection: socket.socket, file: int) -> None:
    """Send a file descriptor, which the next frame brings along. Raises OSError."""
    socket.send_fds(connection, [b"\0"], [file])


def receive(connection: socket.socket, *, with_file: bool = False) -> Frame:
    """Wait for one frame; with `with_file` a file descriptor may stand before it.

    Raises ConnectionEnded, TimeoutError, and ValueError for what is no frame.
    """
    files: list[int] = []
    first = b""
    if with_file:
        first, files, _, _ = socket.recv_fds(connection, 1, 1)
        if not first:
            raise ConnectionEnded("The connection has ended.")
        first = b"" if files else first
    prefix = first + _exactly(connection, _PREFIX.size - len(first)).tobytes()
    header_bytes, payload_bytes = _PREFIX.unpack(prefix)
    if header_bytes > HEADER_AT_MOST or payload_bytes > PAYLOAD_AT_MOST:
        raise ValueError("the model's process sent something else than an answer, or one above 1 GB")
    header = json.loads(_exactly(connection, header_bytes).tobytes())
    if not isinstance(header, dict):
        raise ValueError("the model's process sent something else than an answer")
    return Frame(header, _exactly(connection, payload_bytes), files)


def _exactly(connection: socket.socket, size: int) -> NDArray[np.uint8]:
    memory = np.empty(size, np.uint8)
    view = memory.data
    at = 0
    while at < size:
        got = connection.recv_into(view[at:])
        if not got:
            raise ConnectionEnded("The connection has ended.")
        at += got
    return memory


def _array(entry: Mapping[str, Any], memory: NDArray[np.uint8]) -> NDArray[Any]:
    if entry["type"] == IMAGES:
        images = np.empty(len(entry["shapes"]), dtype=object)
        for number, (at, shape) in enumerate(zip(entry["at"], entry["shapes"], strict=True)):
            images[number] = memory[at : at + math.prod(shape)].reshape(shape)
        return images
    shape, at = tuple(entry["shape"]), entry["at"]
    if entry["type"] != "BYTES":
        dtype = np.dtype(DTYPES[entry["type"]])
        return memory[at : at + math.prod(shape) * dtype.itemsize].view(dtype).reshape(shape)
    count, start = math.prod(shape), entry["lengths"]
    lengths = memory[start : start + count * _LENGTH.itemsize].view(_LENGTH).reshape(count).tolist()
    content, end = memory[at : at + sum(lengths)].tobytes(), 0
    items = [content[end : (end := end + length)] for length in lengths]
    found = np.empty(len(items), dtype=object)
    found[:] = items
    return found.reshape(shape)


def _little_endian(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(array.dtype.newbyteorder("<"), copy=False)
