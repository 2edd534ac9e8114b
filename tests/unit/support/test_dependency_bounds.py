"""The oldest and the allowed versions are read from pyproject.toml files, and nowhere else."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.support.packaging.dependency_bounds import NoLowestVersionError, allowed, main, oldest

ROOT = Path(__file__).parents[3]
FILES = [ROOT / "pyproject.toml", ROOT / "p2pclient" / "pyproject.toml"]


def test_the_highest_of_all_lower_bounds_counts() -> None:
    """Extras count as much as dependencies, names are alike in any spelling, and our own distributions are left out."""
    client = {"dependencies": ["aiohttp>=3.14,<4"], "optional-dependencies": {"cli": ["typer>=0.27"]}}
    servers = {
        "dependencies": ["p2p-serving-client[cli]>=0.1", "aiohttp>=3.14.4,<3.15", "py_consul==1.8"],
        "optional-dependencies": {"images": ["Pillow>=11"], "test": ["p2p-serving[images]", "pytest"]},
    }
    assert oldest([client, servers]) == ["aiohttp==3.14.4", "pillow==11", "py-consul==1.8", "typer==0.27"]
    assert oldest([client]) == ["aiohttp==3.14", "typer==0.27"]


def test_what_is_allowed_stays_as_it_is_written() -> None:
    """Tools belong to it; torch does not."""
    project = {"dependencies": ["aiohttp>=3.14,<4"], "optional-dependencies": {"torch": ["torch>=2"], "test": ["mypy"]}}
    assert allowed([project]) == ["aiohttp<4,>=3.14", "mypy"]


def test_a_dependency_without_a_lower_bound_is_an_error() -> None:
    """A bound from above alone says nothing about old versions."""
    with pytest.raises(NoLowestVersionError, match=r"numpy<3 has no lowest version"):
        oldest([{"dependencies": ["numpy<3"]}])


def test_all_of_our_dependencies_have_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Each dependency of the client and the servers is printed with one version."""
    main(["oldest", *map(str, FILES)])
    printed = capsys.readouterr().out.split()
    names = {line.partition("==")[0] for line in printed}
    assert {"aiohttp", "typer", "rich", "matplotlib", "numpy", "tensorflow", "onnxruntime", "openvino"} <= names
    assert len(names) == len(printed)
    client = tomllib.loads(FILES[1].read_text("utf-8"))["project"]
    assert [line.partition("==")[0] for line in oldest([client])] == [
        "aiohttp",
        "matplotlib",
        "opentelemetry-api",
        "rich",
        "typer",
    ]
