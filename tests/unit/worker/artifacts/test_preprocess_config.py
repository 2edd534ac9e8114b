"""How pixels are prepared, in flags and in model.toml."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from worker.artifacts.preprocess_config import Preprocess, read_preprocess, write_preprocess
from worker.errors import ModelError


def test_preprocess_survives_a_file(tmp_path: Path) -> None:
    """What is written to model.toml is read back; without a file nothing is said."""
    assert read_preprocess(tmp_path) == Preprocess()
    said = Preprocess(size=(10, 20), resize="crop", filter="bicubic", channels="bgr", mean=(1.5, 2.0, 3.0), std=(58.0,))
    said = replace(said, layout="nchw", outputs="logits")
    write_preprocess(tmp_path, said)
    assert read_preprocess(tmp_path) == said
    assert read_preprocess(tmp_path / "model.keras") == said


@pytest.mark.parametrize(
    "text", ["[preprocess]\nsizes = [1, 2]", "[preprocess]\nsize = 3", "[preprocess", 'preprocess = "x"']
)
def test_a_model_toml_that_cannot_be_understood_is_named(tmp_path: Path, text: str) -> None:
    """An unknown key, a wrong type and broken TOML are errors that name the file."""
    (tmp_path / "model.toml").write_text(text)
    with pytest.raises(ModelError, match=r"model\.toml cannot be used"):
        read_preprocess(tmp_path)


def test_flags_go_before_the_file() -> None:
    """What a flag says hides the file's word on the same thing and no other."""
    file = Preprocess(size=(10, 20), mean=(1.0,))
    assert Preprocess(mean=(2.0,)).over(file) == Preprocess(size=(10, 20), mean=(2.0,))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"resize": "zoom"}, "crop or stretch"),
        ({"filter": "nearest"}, "bicubic or bilinear"),
        ({"channels": "rbg"}, "rgb or bgr"),
        ({"layout": "hwcn"}, "nhwc or nchw"),
        ({"outputs": "scores"}, "probabilities or logits"),
        ({"std": (0.0,)}, "must not be 0"),
        ({"mean": (1.0, 2.0)}, "one number, or three"),
        ({"size": (0, 5)}, "height and a width"),
    ],
)
def test_preprocessing_that_cannot_be_meant_is_refused(words: dict[str, object], message: str) -> None:
    """Wrong words and numbers are errors that say the right ones."""
    with pytest.raises(ModelError, match=message):
        Preprocess(**words)  # type: ignore[arg-type]  # wrong on purpose
