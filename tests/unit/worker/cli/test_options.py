"""What flags mean together: --model, repeated, and --service; and the defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.runtime.errors import SettingsError
from worker.artifacts.formats import SUFFIXES
from worker.artifacts.source import ModelSource
from worker.cli.options import DEFAULT_MAX_PIXELS, ModelPath, Models, named_models, refuse_for_several


@pytest.mark.parametrize(
    ("models", "service", "meaning"),
    [
        ([], None, [("classify", None)]),
        ([], "cats", [("cats", None)]),
        (["m"], None, [("classify", Path("m"))]),
        (["m"], "cats", [("cats", Path("m"))]),
        (["cats=m"], None, [("cats", Path("m"))]),
        (["cats=m/a=b", "dogs=/n"], None, [("cats", Path("m/a=b")), ("dogs", Path("/n"))]),
        (["lr=0.1"], None, [("lr", Path("0.1"))]),
        (["runs/lr=0.1"], None, [("classify", Path("runs/lr=0.1"))]),
        (["/runs/lr=0.1"], None, [("classify", Path("/runs/lr=0.1"))]),
    ],
)
def test_names_and_paths(models: list[str], service: str | None, meaning: list[tuple[str, Path | None]]) -> None:
    """A name before = is the service's; without one it is --service, or classify."""
    assert list(named_models([Path(m) for m in models], service=service)) == meaning


@pytest.mark.parametrize(
    ("models", "service", "hint"),
    [
        (["a", "b"], None, "--model NAME=PATH for a"),
        (["a=x", "b"], None, "--model NAME=PATH for b"),
        (["a=x"], "a", "leave out --service or a="),
        (["a=x", "a=y"], None, "Two models are called a"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(models: list[str], service: str | None, hint: str) -> None:
    """Names that are missing or given twice are errors that say what to write."""
    with pytest.raises(SettingsError, match=hint):
        named_models([Path(m) for m in models], service=service)


@pytest.mark.parametrize("name", ["my digits", "x.y", "my_cats", "", "-a", "..", "\udce9", "a" * 64])
def test_names_that_cannot_be_services_are_refused(name: str) -> None:
    """A model's name is its service's, and is refused by the same rule, which the error states."""
    with pytest.raises(SettingsError, match=r"^--model NAME=PATH: .* 1 to 63 letters, digits and dashes"):
        named_models([Path(f"{name}=models/cats")], service=None)


def test_one_models_flags_are_refused_for_several() -> None:
    """Flags that can only mean one model are refused, and so is a port with too few after it."""
    refuse_for_several([None, None], port=65534, count=2)
    refuse_for_several([None], port=0, count=9)
    with pytest.raises(SettingsError, match=r"model\.toml"):
        refuse_for_several([None, "224x224"], port=0, count=2)
    with pytest.raises(SettingsError, match="--port 65534"):
        refuse_for_several([None], port=65534, count=3)


def test_the_help_of_model_names_every_kind() -> None:
    """The help of --model lists the suffix of every kind of file that can be served."""
    for model in (Models, ModelPath):
        (option,) = model.__metadata__
        assert all(suffix in option.help for suffix in SUFFIXES)


def test_the_default_of_max_pixels_is_the_models() -> None:
    """The flag's default, which stands apart so that the commands start quickly, is that of ModelSource."""
    assert ModelSource().max_pixels == DEFAULT_MAX_PIXELS
