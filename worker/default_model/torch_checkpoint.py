"""An old-style PyTorch checkpoint (before version 1.6's zip files) -> numpy arrays, without PyTorch.

Such a file is a row of pickles: a magic number, a protocol version, facts on the machine, the state
dictionary, the keys of the storages; then each storage as an int64 element count and raw little-endian
numbers. Layout as written by `torch.serialization._legacy_save`.

A pickle can name any function to be called. This reader looks names up only in a table of four replacements of its own,
so the worst that a file can cause is its refusal. Every size is checked before memory is allocated.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import struct
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from worker.errors import ModelError

_MAGIC = 0x1950A86A20F9469CFC6C  # of torch.serialization, the first pickle of a file
_PROTOCOL = 1001
_MOST_MEMORIES = 1_000_000  # the unpickler allocates as many as the largest number says
_DTYPES: Mapping[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


@dataclass(frozen=True)
class _Storage:
    """A flat run of numbers, named in the pickle and found behind it."""

    key: str
    dtype: np.dtype[Any]
    count: int


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage: elements, not bytes, in offset and strides."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_checkpoint(data: bytes) -> dict[str, NDArray[Any]]:
    """Read a state dictionary: names to arrays (float32 or int64) in the file's order.

    Raises ModelError for anything but a well-formed file that needs only the four names of the table.
    """
    try:
        return _read(io.BytesIO(data), len(data))
    except ModelError:
        raise
    except Exception as error:  # the unpickler may raise anything on damaged data
        raise ModelError(f"The checkpoint is damaged or of another kind ({error}); install it again.") from error


def _read(file: io.BytesIO, length: int) -> dict[str, NDArray[Any]]:
    if _load(file) != _MAGIC or _load(file) != _PROTOCOL:
        _refuse("it does not start with PyTorch's magic number")
    facts = _load(file)
    if not isinstance(facts, dict) or facts.get("little_endian") is not True:
        _refuse("its numbers are not little-endian")
    tensors = _load(file)
    keys = _load(file)
    if not isinstance(tensors, OrderedDict) or not all(isinstance(t, _Tensor) for t in tensors.values()):
        _refuse("it holds more than a flat dictionary of tensors")
    declared = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    if not isinstance(keys, list) or set(keys) != set(declared):
        _refuse("its storages are not those that its tensors name")
    storages = {key: _numbers(file, declared[key], length) for key in keys}
    return {str(name): _view(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}


def _load(file: io.BytesIO) -> Any:
    """Read one pickle, after a check that its lengths are right and its memo numbers are not huge."""
    start = file.tell()
    for opcode, argument, _ in pickletools.genops(file):
        if "PUT" in opcode.name and argument is not None and argument > _MOST_MEMORIES:
            _refuse("its pickle would take too much memory")
    file.seek(start)
    return _Reader(file).load()


def _numbers(file: io.BytesIO, storage: _Storage, length: int) -> NDArray[Any]:
    (count,) = struct.unpack("<q", file.read(8))
    size = count * storage.dtype.itemsize
    if count != storage.count or not 0 <= size <= length - file.tell():
        _refuse(f"storage {storage.key} has {count} numbers where {storage.count} belong")
    return np.frombuffer(file.read(size), dtype=storage.dtype)


def _view(tensor: _Tensor, numbers: NDArray[Any]) -> NDArray[Any]:
    """A tensor's elements, copied out of its storage; its corners must lie inside."""
    shape, strides = tensor.shape, tensor.strides
    if len(shape) != len(strides) or min((tensor.offset, *shape, *strides), default=0) < 0:
        _refuse("a tensor's shape and strides disagree")
    last = tensor.offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    count = math.prod(shape)
    if count > numbers.size or (count and last >= numbers.size):
        _refuse("a tensor reaches beyond its storage")
    bytewise = tuple(step * numbers.itemsize for step in strides)
    return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], shape, bytewise, writeable=False).copy()


def _refuse(why: str) -> NoReturn:
    raise ModelError(f"The checkpoint cannot be used because {why}; install it again.")


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_autograd: object
) -> _Tensor:
    """Replaces torch._utils._rebuild_tensor_v2, without what concerns gradients."""
    if not isinstance(storage, _Storage) or not all(isinstance(n, int) for n in (offset, *shape, *strides)):
        _refuse("a tensor is not made of a storage and whole numbers")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


class _StateDict(OrderedDict[str, object]):
    """OrderedDict without the attributes (`_metadata`) that PyTorch adds to it."""

    def __setstate__(self, state: object) -> None:
        """Take nothing."""


_ALLOWED: Mapping[tuple[str, str], object] = {
    ("collections", "OrderedDict"): _StateDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): "FloatStorage",
    ("torch", "LongStorage"): "LongStorage",
}


class _Reader(pickle.Unpickler):
    """An unpickler that knows only the names in `_ALLOWED`."""

    def find_class(self, module: str, name: str) -> Any:
        """Look a name up in the table; any other is refused, never imported."""
        if (module, name) not in _ALLOWED:
            _refuse(f"it names {module}.{name}, which has no place in a dictionary of weights")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        """Read the reference to a storage: ("storage", type, key, device, count, view)."""
        kind, dtype, key, _device, count, view = pid
        if kind != "storage" or dtype not in _DTYPES or not isinstance(count, int) or view is not None:
            _refuse("it holds a storage of an unknown kind")
        return _Storage(str(key), _DTYPES[dtype], count)
