"""OpenVINO is imported without its telemetry."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'p2p-serving[openvino]'")

IN_CI = ("CI", "TF_BUILD", "JENKINS_URL")
"""Variables that switch its telemetry off, too."""

IMPORTED = """
import sys
from worker.engines.openvino.runtime import openvino
print("openvino_telemetry.main" in sys.modules, openvino.Core().available_devices)
"""


def test_it_reports_nothing(tmp_path: Path) -> None:
    """A process with OpenVINO imports no telemetry, and writes no id into the user's home, which it would send."""
    environ = {name: value for name, value in os.environ.items() if name not in IN_CI} | {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", IMPORTED], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False ['CPU'")
    assert not list(tmp_path.iterdir())
