"""The versions that our pyproject.toml files allow, as arguments of pip: the oldest of each dependency, or all of them.

`python -m tests.support.packaging.dependency_bounds oldest FILE...` prints NAME==LOWEST a line, `allowed` each
requirement as the files have it. Where several files bound one dependency, the highest lowest version counts, as it
does for pip.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

TOOLS = "test"
"""The extra whose requirements are what tests are run with; they need no bounds."""

NOT_UPGRADED = frozenset({"torch"})
"""Left out of `allowed`: the ordinary build of a new version brings gigabytes of CUDA."""


class NoLowestVersionError(Exception):
    """A dependency has no lower bound, so nobody can say with which versions it works."""


def main(arguments: Sequence[str]) -> None:
    """Print what is asked for, one requirement a line."""
    wanted, *files = arguments
    projects = [tomllib.loads(Path(file).read_text("utf-8"))["project"] for file in files]
    print(*(oldest(projects) if wanted == "oldest" else allowed(projects)), sep="\n")


def oldest(projects: Iterable[dict[str, Any]]) -> list[str]:
    """NAME==LOWEST of each dependency of these `[project]` tables. Raises NoLowestVersionError where one has none."""
    lowest: dict[str, Version] = {}
    for project in projects:
        for requirement in _required(project, without=TOOLS):
            name, version = canonicalize_name(requirement.name), _lower_bound(requirement)
            lowest[name] = max(version, lowest.get(name, version))
    return [f"{name}=={version}" for name, version in sorted(lowest.items())]


def allowed(projects: Iterable[dict[str, Any]]) -> list[str]:
    """Each requirement of these `[project]` tables on others, tools included."""
    every = {str(requirement) for project in projects for requirement in _required(project)}
    return sorted(text for text in every if Requirement(text).name not in NOT_UPGRADED)


def _required(project: dict[str, Any], *, without: str = "") -> Iterator[Requirement]:
    """What a project and its extras require, except for what is ours."""
    extras = project.get("optional-dependencies", {})
    lists = [project.get("dependencies", ()), *(texts for extra, texts in extras.items() if extra != without)]
    for requirement in (Requirement(text) for texts in lists for text in texts):
        if not requirement.name.startswith("p2p-serving"):
            yield requirement


def _lower_bound(requirement: Requirement) -> Version:
    versions = [Version(one.version) for one in requirement.specifier if one.operator in (">=", "==", "~=")]
    if not versions:
        raise NoLowestVersionError(
            f"{requirement} has no lowest version: add >= and the oldest that the tests pass with."
        )
    return max(versions)


if __name__ == "__main__":
    main(sys.argv[1:])
