"""The bytes of an OpenVINO .xml file -> its inputs and outputs. Pure. Format: OpenVINO's documentation, "IR"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from xml.parsers import expat

from worker.artifacts.damaged import Damaged
from worker.artifacts.signatures.tensor_shapes import Entry

_LAYER = ["net", "layers", "layer"]  # loops and branches have layers of their own, further in


def entries_of(model: memoryview) -> tuple[list[Entry], list[Entry]]:
    """Inputs and outputs. Raises Damaged."""
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.begin
    parser.EndElementHandler = reader.end
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(model, True)
    except expat.ExpatError as error:
        raise Damaged(str(error)) from error
    return reader.inputs, reader.outputs


class _Reader:
    """Collects the layers of the outermost network that are inputs (Parameter) and outputs (Result)."""

    def __init__(self) -> None:
        self.inputs: list[Entry] = []
        self.outputs: list[Entry] = []
        self._path: list[str] = []
        self._kind: str | None = None

    def begin(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element and its attributes."""
        self._path.append(tag)
        if self._path == _LAYER:
            self._kind, name = attributes.get("type"), attributes.get("name", "")
            if self._kind == "Parameter":
                self.inputs.append(Entry(name, None))
            elif self._kind == "Result":
                self.outputs.append(Entry(name, None))
        elif self._kind == "Parameter" and self._path == [*_LAYER, "data"]:
            self.inputs[-1] = replace(self.inputs[-1], rank=_rank(attributes.get("shape", "...")))

    def end(self, tag: str) -> None:
        """The end of the element that began last."""
        self._path.pop()


def _rank(shape: str) -> int | None:
    """Of "1,3" it is 2, of "" 0; "..." has any."""
    if "..." in shape:
        return None
    return len(shape.split(",")) if shape.strip() else 0


def _refuse_doctype(*declaration: object) -> None:
    raise Damaged("a model has no document type")
