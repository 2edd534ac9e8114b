"""Damaged and hostile files are no models of tensors: their engines say what is wrong with them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from worker.artifacts.signatures.takes_tensors import takes_tensors

FORMATS = ("keras", "onnx", "openvino", "tflite", "torchexport", "torchscript")
JSON = (b"7", b"{}", b"[" * 100_000, b'{"config": {"layers": [{}], "input_layers": 3}}', b"\xff", b"{")


@pytest.mark.parametrize("model_format", FORMATS)
@pytest.mark.parametrize("content", [b"", b"no model", b"PK\x05\x06" + bytes(18), b"\x12\x05ab", b"\x89HDF\r\n\x1a\n"])
def test_a_file_of_another_kind(tmp_path: Path, model_format: str, content: bytes) -> None:
    """Nothing is raised."""
    path = tmp_path / "model"
    path.write_bytes(content)
    assert not takes_tensors(path, model_format)  # type: ignore[arg-type]  # one of them
    assert not takes_tensors(tmp_path / "absent", model_format)  # type: ignore[arg-type]  # one of them


@pytest.mark.parametrize(("model_format", "member"), [("keras", "config.json"), ("torchexport", "m/models/model.json")])
@pytest.mark.parametrize("content", JSON)
def test_an_archive_with_another_content(tmp_path: Path, model_format: str, member: str, content: bytes) -> None:
    """Whatever the JSON in it, or what is none."""
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
    assert not takes_tensors(path, model_format)  # type: ignore[arg-type]  # one of them
