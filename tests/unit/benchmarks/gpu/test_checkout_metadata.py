"""The metadata by which the commands of a checkout are found."""

from __future__ import annotations

from importlib.metadata import distributions
from pathlib import Path

from benchmarks.gpu.checkout_metadata import write_metadata


def test_the_serving_commands_are_found(tmp_path: Path) -> None:
    """As if the checkout were installed."""
    write_metadata(tmp_path)
    found = {
        (entry.group, entry.name): entry.value
        for distribution in distributions(path=[str(tmp_path)])
        for entry in distribution.entry_points
    }
    assert found["p2pclient.commands", "worker"] == "worker.cli.worker:worker"
    assert found["p2pclient.commands", "agent"] == "registry.cli:agent"
