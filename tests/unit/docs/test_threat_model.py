"""Each claim of the threat model that somebody cannot do something names tests, and they exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "guide" / "security.md"
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def claims() -> list[list[str]]:
    """The rows of the table whose columns are who, cannot, test."""
    _, _, table = GUIDE.read_text("utf-8").partition("| who | cannot | test |\n| --- | --- | --- |\n")
    rows = table.partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_each_claim_names_a_test_that_exists() -> None:
    """A test that is renamed or removed takes its claim with it."""
    rows = claims()
    assert len(rows) > 20
    missing = []
    for _, cannot, tests in rows:
        named = TEST.findall(tests)
        assert named, f"no test: {cannot}"
        for file, name in named:
            tree = ast.parse((ROOT / file).read_text("utf-8"))
            if name not in {
                node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            }:
                missing.append(f"{file}::{name}")
    assert missing == []
