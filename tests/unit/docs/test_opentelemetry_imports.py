"""OpenTelemetry's SDK, which an extra brings, is used in one folder; import-linter sees only the whole of a package."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]

_SDK = re.compile(r"^\s*(?:from|import) opentelemetry\.(?:sdk|exporter)\b", re.MULTILINE)


def test_the_sdk_is_imported_only_where_spans_are_sent() -> None:
    """All others use the API, which is always there."""
    packages = [ROOT / name for name in ("registry", "worker", "p2pclient", "deploy")]
    files = [file for package in packages for file in package.rglob("*.py")]
    found = {file.relative_to(ROOT).as_posix() for file in files if _SDK.search(file.read_text())}
    assert found == {"registry/runtime/tracing/ended_spans.py", "registry/runtime/tracing/exporting.py"}
