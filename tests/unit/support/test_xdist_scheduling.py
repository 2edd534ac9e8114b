"""What runs after one of the processes that run tests beside each other has died."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

GOOD = "def test_one(): pass\ndef test_two(): pass\ndef test_three(): pass\n"
DIES = "import os\ndef test_before(): pass\ndef test_dies(): os._exit(1)\ndef test_after(): pass\n"
LAST_DIES = "import os\ndef test_before(): pass\ndef test_dies(): os._exit(1)\n"


def run(folder: Path, modules: dict[str, str]) -> subprocess.CompletedProcess[str]:
    for name, text in modules.items():
        (folder / f"test_{name}.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    command += ["-p", "tests.support.xdist_scheduling"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_all_others_run(tmp_path: Path) -> None:
    """The test during which the process died has failed, once; each other test has passed, also those of its module."""
    ran = run(tmp_path, {"a": GOOD, "b": GOOD, "c": DIES, "d": GOOD, "e": "def test_alone(): pass\n"})
    assert ran.stdout.splitlines()[-1].startswith("1 failed, 12 passed"), ran.stdout
    assert "while running 'test_c.py::test_dies'" in ran.stdout


def test_one_test_left(tmp_path: Path) -> None:
    """A single test that is left for the process that takes the dead one's place runs too."""
    ran = run(tmp_path, {"a": DIES})
    assert ran.stdout.splitlines()[-1].startswith("1 failed, 2 passed"), ran.stdout


def test_nothing_left(tmp_path: Path) -> None:
    """The run ends where the last test of all was the one during which a process died."""
    ran = run(tmp_path, {"a": GOOD, "b": LAST_DIES})
    assert ran.stdout.splitlines()[-1].startswith("1 failed, 4 passed"), ran.stdout
