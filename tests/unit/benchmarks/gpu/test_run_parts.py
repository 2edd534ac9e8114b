"""A run whose parts end well, fail, and take too long."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.gpu.plan import Part
from benchmarks.gpu.run_parts import run_parts
from benchmarks.gpu.setup import Setup

GOOD = """
from benchmarks.gpu.figures import Figure

def measure(setup, found):
    found(Figure("rate", 2, "x", 1))
"""
BAD = f"{GOOD}    raise RuntimeError('no room | here')"
ENDLESS = "import threading\n\ndef measure(setup, found):\n    threading.Event().wait()\n"


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three parts as modules that the run's processes can import."""
    for name, text in (("good_part", GOOD), ("bad_part", BAD), ("endless_part", ENDLESS)):
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[4]}")


@pytest.mark.usefixtures("modules")
def test_no_part_stops_the_others(tmp_path: Path) -> None:
    """One that fails or is stopped has a row, and the figures that it found before; the limit is a second here."""
    parts = [Part("bad", "bad_part", 60), Part("endless", "endless_part", -60), Part("good", "good_part", 60)]
    report = run_parts(Setup(tmp_path / "out", "cpu", 0.1, "small"), parts)
    assert "| bad | rate | 2.00 x | 1.00 | 2.00 |" in report
    assert "| bad | failed: RuntimeError: no room / here |" in report
    assert "| endless | stopped after 1 s |" in report
    assert "| good | rate | 2.00 x |" in report
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [part["part"] for part in written["parts"]] == ["bad", "endless", "good"]
    assert (tmp_path / "out" / "results.md").read_text() == report
    assert written["machine"]["Python"] in sys.version
