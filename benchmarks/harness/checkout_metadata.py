"""Writes the metadata by which `p2p` finds its commands in a checkout that is not installed.

`benchmarks/gpu/run.sh` runs this file with the folder into which the wheels were installed.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def write_metadata(site: Path, root: Path = ROOT) -> None:
    """Write the names and entry points of the distributions at `root` into `site`, a folder of PYTHONPATH."""
    files = (root / "pyproject.toml", root / "p2pclient" / "pyproject.toml")
    for file in filter(Path.exists, files):  # older checkouts have one distribution
        project = tomllib.loads(file.read_text("utf-8"))["project"]
        name, version = project["name"], project.get("version", "0")
        folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
        groups = {**project.get("entry-points", {})}
        lines = [
            line
            for group, names in groups.items()
            for line in (f"[{group}]", *(f"{a} = {b}" for a, b in names.items()))
        ]
        (folder / "entry_points.txt").write_text("\n".join(lines), "utf-8")


if __name__ == "__main__":
    write_metadata(Path(sys.argv[1]))
