"""A model's files -> ModelError if they could run code or touch other files when a framework reads them.

The model's author need not be trusted: whoever can send somebody a model file must not thereby get that machine. This
module reads the files; the other modules of this folder decide. `--allow-unsafe-model` leaves the check out, and the
frameworks' own safe modes with it.
"""

from __future__ import annotations

import json
import mmap
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worker.artifacts.damaged import Damaged
from worker.artifacts.formats import Format
from worker.artifacts.keras_file import configs_in
from worker.artifacts.safety.exported_program import unsafe_in_program
from worker.artifacts.safety.keras_config import unsafe_in_config
from worker.artifacts.safety.onnx_model import external_files
from worker.artifacts.safety.tensorflow_graph import unsafe_in_graph, unsafe_in_saved_model
from worker.artifacts.safety.torchscript import unsafe_in_source
from worker.errors import ModelError

FLAG = "--allow-unsafe-model"
_LONGEST = 200  # characters of the model's own names in an error


def refuse_unsafe(path: Path, model_format: Format) -> None:
    """Raise ModelError, with the layer, operation or file, if the model at `path` could do more than compute.

    Formats that can only compute pass: TFLite and Caffe. So does a file that is none of its kind, because
    the framework, which reads it in the same way, says better what is wrong with it.
    """
    look = _LOOKS.get(model_format)
    if look is None:
        return
    try:
        found = look(path)
    except (OSError, Damaged, zipfile.BadZipFile, json.JSONDecodeError):
        return
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise ModelError(f"{path} cannot be looked into before it is loaded: {error}; save it anew.") from error
    if found:
        raise unsafe_model(path, found)


def refuse_unnamed_code(code: Path, *, named: Path | None) -> None:
    """Raise ModelError for a Python model that was found in a folder: only `named`, a file itself, was agreed to.

    Who names a Python file wants it to run. Who names a folder may not know that there is code in it, or that somebody
    has copied some into it since.
    """
    if named is None or not named.is_file():
        raise ModelError(
            f"{code} is a Python program, which may do anything on this machine. If you trust who made it, and all who "
            f"can write into its folder, serve it with {FLAG}, or name the file itself: --model {code}."
        )


def refuse_link(labels: Path, model: Path) -> None:
    """Raise ModelError if the labels beside or in a model are a link to a file elsewhere, whose lines answers show."""
    if _leads_outside(labels, model):
        raise ModelError(f"{labels} is a link out of its folder: if these are the labels, name them with --labels.")


def _leads_outside(file: Path, model: Path) -> bool:
    """Whether a file that lies beside or in a model is a link out of that folder.

    The folder in which the model really lies counts as well: caches of downloads are folders of links into another.
    """
    parts = [model, model / "saved_model.pb"] if model.is_dir() else [model]
    inside = {file.parent.resolve(), *(part.resolve().parent for part in parts)}
    return not any(map(file.resolve().is_relative_to, inside))


def unsafe_model(path: Path, found: str) -> ModelError:
    """The error for a model that contains `found`, whose names are the model's own and may be anything."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in found[:_LONGEST])
    return ModelError(
        f"{path} contains {printable}: it could run code or touch files of this machine. If you trust who made it, "
        f"serve it with {FLAG}."
    )


def bytes_of(path: Path) -> memoryview:
    """A file's content, of which only the parts that are looked at are read; unmapped with its last view."""
    with open(path, "rb") as file:
        empty = path.stat().st_size == 0
        return memoryview(b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _saved_model(path: Path) -> str | None:
    return unsafe_in_saved_model(bytes_of(path / "saved_model.pb"))


def _graph(path: Path) -> str | None:
    return unsafe_in_graph(bytes_of(path))


def _onnx(path: Path) -> str | None:
    for place in map(Path, external_files(bytes_of(path))):
        if place.is_absolute() or ".." in place.parts or _leads_outside(path.parent / place, path):
            return f"weights in {place}, outside its folder"
    return None


def _openvino(path: Path) -> str | None:
    weights = path.with_suffix(".bin")
    return f"weights in {weights.resolve()}, outside its folder" if _leads_outside(weights, path) else None


def _keras(path: Path) -> str | None:
    return unsafe_in_config(configs_in(path))


def _torch(path: Path) -> str | None:
    """PyTorch tells TorchScript and torch.export by what an archive contains, whatever it is called."""
    with zipfile.ZipFile(path) as archive:
        files = _files_of(archive, path)
    names = sorted(files)
    compiled = next((name for name in names if "aotinductor/" in name), None)
    if compiled:
        return f"a compiled library ({compiled})"
    found = (unsafe_in_source(str(files[name], "utf-8", "replace")) for name in names if name.endswith(".py"))
    unsafe = next(filter(None, found), None)
    exported = any("models/" in name or name == "serialized_exported_program.json" for name in names)
    if unsafe or not exported:
        return unsafe
    programs = (unsafe_in_program(_program(files[name], path)) for name in names if name.endswith(".json"))
    return next(filter(None, programs), None)


def _files_of(archive: zipfile.ZipFile, path: Path) -> dict[str, bytes]:
    """Source and JSON of an archive, and the names of its other files; in lower case, since PyTorch ignores case.

    Raises ModelError for an archive that PyTorch, which checks less, could read differently than this module does.
    """
    entries = archive.infolist()
    names = [entry.filename.lower() for entry in entries]
    start = min((entry.header_offset for entry in entries), default=0)
    if archive.comment or len(set(names)) < len(names) or start:
        raise _odd_archive(path)
    try:
        return {
            name: archive.read(entry) if name.endswith((".py", ".json")) else b""
            for name, entry in zip(names, entries, strict=True)
        }
    except Exception as error:  # a wrong checksum, an unknown compression, a password: zipfile raises many kinds
        raise _odd_archive(path) from error


def _program(content: bytes, path: Path) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise _odd_archive(path) from error


def _odd_archive(path: Path) -> ModelError:
    return ModelError(f"{path} is no archive as PyTorch writes them: save the model anew, or use {FLAG}.")


_LOOKS: dict[Format, Callable[[Path], str | None]] = {
    "savedmodel": _saved_model,
    "graph": _graph,
    "onnx": _onnx,
    "openvino": _openvino,
    "keras": _keras,
    "torchscript": _torch,
    "torchexport": _torch,
}
