"""A model's files -> ModelError if they could run code or touch other files when a framework reads them.

The model's author need not be trusted: whoever can send somebody a model file must not thereby get that machine. This
module reads the files; the other modules of this folder decide. `--allow-unsafe-model` leaves the check out, and the
frameworks' own safe modes with it.
"""

from __future__ import annotations

import json
import mmap
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.artifacts.formats import Format
from worker.artifacts.safety.exported_program import unsafe_in_program
from worker.artifacts.safety.keras_config import unsafe_in_config
from worker.artifacts.safety.onnx_model import external_files
from worker.artifacts.safety.protobuf import Damaged
from worker.artifacts.safety.tensorflow_graph import unsafe_in_graph, unsafe_in_saved_model
from worker.artifacts.safety.torchscript import unsafe_in_source
from worker.errors import ModelError

FLAG = "--allow-unsafe-model"
_LONGEST = 200  # characters of the model's own names in an error


def refuse_unsafe(path: Path, model_format: Format) -> None:
    """Raise ModelError, with the layer, operation or file, if the model at `path` could do more than compute.

    Formats that can only compute pass: OpenVINO's, TFLite and Caffe. So does a file that cannot be read at all, because
    the framework, which reads it in the same way, says better what is wrong with it.
    """
    look = _LOOKS.get(model_format)
    if look is None:
        return
    try:
        found = look(path)
    except (OSError, Damaged, zipfile.BadZipFile, json.JSONDecodeError):
        return
    if found:
        raise unsafe_model(path, found)


def unsafe_model(path: Path, found: str) -> ModelError:
    """The error for a model that contains `found`, whose names are the model's own and may be anything."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in found[:_LONGEST])
    return ModelError(
        f"{path} contains {printable}: it could run code or touch files of this machine. If you trust who made it, "
        f"serve it with {FLAG}."
    )


@contextmanager
def _bytes_of(path: Path) -> Iterator[memoryview]:
    """A file's content, of which only the parts that are looked at are read."""
    with open(path, "rb") as file:
        if not path.stat().st_size:
            yield memoryview(b"")
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            view = memoryview(mapped)
            try:
                yield view
            finally:
                view.release()


def _saved_model(path: Path) -> str | None:
    with _bytes_of(path / "saved_model.pb") as content:
        return unsafe_in_saved_model(content)


def _graph(path: Path) -> str | None:
    with _bytes_of(path) as content:
        return unsafe_in_graph(content)


def _onnx(path: Path) -> str | None:
    """A tensor's file may be a link, but not lead out of the folder in which the model itself really lies."""
    with _bytes_of(path) as content:
        places = external_files(content)
    inside = (path.parent.resolve(), path.resolve().parent)
    for place in places:
        file = (path.parent / place).resolve()
        if Path(place).is_absolute() or ".." in Path(place).parts or not any(map(file.is_relative_to, inside)):
            return f"weights in {place}, outside its folder"
    return None


def _keras(path: Path) -> str | None:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json")) if "config.json" in archive.namelist() else None
        if isinstance(config, dict):
            config.pop("compile_config", None)  # which only training needs: it is not read
        return unsafe_in_config(config)
    import h5py  # it comes with Keras, and takes a moment

    with h5py.File(path) as file:
        config = file.attrs.get("model_config")
    return unsafe_in_config(json.loads(config)) if config else None


def _torchscript(path: Path) -> str | None:
    texts = _archived(path, ".py")
    return next((found for text in texts if (found := unsafe_in_source(text))), None)


def _exported(path: Path) -> str | None:
    with zipfile.ZipFile(path) as archive:
        compiled = [name for name in archive.namelist() if "aotinductor/" in name.lower()]
    if compiled:
        return f"a compiled library ({compiled[0]})"
    texts = _archived(path, ".json")
    return next((found for text in texts if (found := unsafe_in_program(json.loads(text)))), None)


def _archived(path: Path, suffix: str) -> Iterator[str]:
    """The text files of an archive of PyTorch, which reads names without regard to case.

    Raises ModelError for an archive that PyTorch could read differently than this module does.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        names = [entry.filename.lower() for entry in entries]
        if archive.comment or len(set(names)) < len(names) or min((e.header_offset for e in entries), default=0):
            raise ModelError(f"{path} is no archive as PyTorch writes them: save the model anew, or use {FLAG}.")
        for entry in entries:
            if entry.filename.lower().endswith(suffix):
                yield archive.read(entry).decode(errors="replace")


_LOOKS: dict[Format, Callable[[Path], str | None]] = {
    "savedmodel": _saved_model,
    "graph": _graph,
    "onnx": _onnx,
    "keras": _keras,
    "torchscript": _torchscript,
    "torchexport": _exported,
}
