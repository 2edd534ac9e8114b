"""The versions of aiohttp that the worker supports: stated once, and checked when the module is imported."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.packaging.dependency_bounds import oldest
from worker.fast_path.aiohttp_connection import SUPPORTED_AIOHTTP, check_private_names

ROOT = Path(__file__).parents[4]


def test_the_package_requires_the_supported_versions() -> None:
    """The bounds in the error's sentence are those that pyproject.toml installs for the servers."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"aiohttp{SUPPORTED_AIOHTTP}" in project["dependencies"]


def test_the_oldest_version_is_tested() -> None:
    """.ci/run tests with the lower bounds, of which aiohttp's is this one, and the fast path belongs to those tests."""
    lowest = SUPPORTED_AIOHTTP.removeprefix(">=").partition(",")[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"aiohttp=={lowest}" in oldest([project])
    assert ".ci/versions oldest" in (ROOT / ".ci" / "run").read_text("utf-8")
    assert "tests/unit/worker/{fast_path," in (ROOT / ".ci" / "versions").read_text("utf-8")


def test_this_aiohttp_has_the_private_names() -> None:
    """With the installed version the check passes."""
    check_private_names(web.RequestHandler)


def test_another_aiohttp_is_refused_with_a_sentence() -> None:
    """Where a name is missing, the error says which, and which versions to install."""
    with pytest.raises(ImportError, match=r"RequestHandler lacks _waiter, .*pip install 'aiohttp>=3.14.4,<3.15'"):
        check_private_names(object)
