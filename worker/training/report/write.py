"""Writes the report of a training: index.html, which opens without a network, and report.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.training.report.page import page


def write_report(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write both files. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    # Names of files that are not UTF-8 are escaped by JSON.
    (folder / "report.json").write_text(json.dumps(facts, indent=1) + "\n", "ascii")
    (folder / "index.html").write_text(page(facts), "utf-8", errors="backslashreplace")
