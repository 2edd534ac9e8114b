"""What benchmarks may import of the tests, and what of each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


def imported(file: Path) -> Iterator[str]:
    """The names of the modules that a file imports, and of what it imports from them."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_benchmarks_use_the_helpers_of_tests_and_never_a_test() -> None:
    """A test may change or move at any time; tests/support is what others may build on."""
    for file in BENCHMARKS.rglob("*.py"):
        of_tests = {name for name in imported(file) if name.partition(".")[0] == "tests"}
        assert all(name.startswith("tests.support.") for name in of_tests), (file, of_tests)


def test_no_module_imports_a_command() -> None:
    """A package's `__main__` only parses and calls."""
    for file in BENCHMARKS.rglob("*.py"):
        assert not [name for name in imported(file) if ".__main__" in name], file
