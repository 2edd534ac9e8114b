"""The metadata by which the commands of a checkout are found."""

from __future__ import annotations

import tomllib
from importlib.metadata import distributions
from pathlib import Path

from benchmarks.harness.checkout_metadata import ROOT, write_metadata


def test_the_serving_commands_are_found(tmp_path: Path) -> None:
    """As if the checkout were installed."""
    write_metadata(tmp_path)
    found = {
        (entry.group, entry.name): entry.value
        for distribution in distributions(path=[str(tmp_path)])
        for entry in distribution.entry_points
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    commands = project["entry-points"]["p2pclient.commands"]
    assert "worker" in commands
    assert {name: found["p2pclient.commands", name] for name in commands} == commands


def test_an_older_checkout_has_one_distribution(tmp_path: Path) -> None:
    """Checkouts from before the client was one of its own can be measured beside this one."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "p2p-serving"\nversion = "0.1.0"\n')
    write_metadata(tmp_path / "site", tmp_path)
    assert [found.name for found in distributions(path=[str(tmp_path / "site")])] == ["p2p-serving"]
