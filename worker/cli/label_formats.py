"""A file's labels as lines: for people, as JSON, or as CSV with one row per label."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Literal

from registry.runtime.visible_text import visible

Format = Literal["text", "json", "csv"]

CSV_HEADER = "file,rank,label,score,error"
"""The columns, which are those of `p2p classify --csv`."""

Labels = Sequence[tuple[str, float]]


def labels_lines(file: str, labels: Labels, form: Format) -> list[str]:
    """The lines of a file that was labelled; JSON holds every name exactly."""
    if form == "json":
        return [json.dumps({"file": file, "labels": labels})]
    if form == "csv":
        return [_row(file, rank, label, f"{score:.6f}", "") for rank, (label, score) in enumerate(labels, 1)]
    return [f"{file}: {', '.join(f'{label} {score:.6f}' for label, score in labels)}"]


def error_line(file: str, reason: str, form: Format) -> str | None:
    """The line of a file that could not be labelled, beside the one on standard error; only CSV has one."""
    return _row(file, "", "", "", reason) if form == "csv" else None


def _row(*cells: object) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([visible(str(cell)) for cell in cells])
    return line.getvalue()
