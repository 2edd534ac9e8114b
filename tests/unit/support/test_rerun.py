"""Which failures are run again, alone, and what the whole run's status is then."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.rerun import AT_MOST, alone

ROOT = Path(__file__).parents[3]

CHANCE = """
from pathlib import Path

def test_fails_the_first_time():
    here = Path(__file__).with_suffix(".ran")
    ran, _ = here.exists(), here.touch()
    assert ran
"""


def run(folder: Path, *arguments: str, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "tests.support.rerun", *before, "-q", *arguments]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=100, check=False)


def test_a_failure_that_does_not_repeat_is_named(tmp_path: Path) -> None:
    """A test that passes alone fails nothing, and the last line names it."""
    (tmp_path / "test_chance.py").write_text(CHANCE)
    ran = run(tmp_path)
    assert ran.returncode == 0
    assert ran.stdout.splitlines()[-1].startswith("Failed beside other tests, passed alone: test_chance.py::test_fails")


def test_a_module_whose_tests_depend_on_each_other_is_run_as_a_whole(tmp_path: Path) -> None:
    """With --whole-modules what came before the failure runs again, and what is in other modules does not."""
    folder = tmp_path / "stories"
    folder.mkdir()
    (folder / "test_chance.py").write_text(f"def test_comes_before():\n    pass\n{CHANCE}")
    (folder / "test_other.py").write_text("def test_passes():\n    pass\n")
    ran = run(tmp_path, "stories", before=["--whole-modules"])
    assert ran.returncode == 0
    assert "1 failed, 2 passed" in ran.stdout
    lines = ran.stdout.splitlines()
    assert lines[-2].startswith("2 passed in ")
    assert lines[-1].startswith("Failed beside other tests, passed alone: stories/test_chance.py::test_fails")


def test_a_failure_that_repeats_fails_the_run(tmp_path: Path) -> None:
    """A test that fails twice fails the run, which ran the others once."""
    (tmp_path / "test_both.py").write_text("def test_fails():\n    assert False\n\ndef test_passes():\n    pass\n")
    ran = run(tmp_path)
    assert ran.returncode == 1
    assert "1 failed, 1 passed" in ran.stdout
    assert ran.stdout.splitlines()[-1].startswith("1 failed in ")


@pytest.mark.parametrize(("source", "status"), [("def test_fails():\n    assert 0\n", 1), ("import nothing_here", 2)])
def test_what_has_another_cause_is_not_run_again(tmp_path: Path, source: str, status: int) -> None:
    """Many failures, or files that cannot be read, are no matter of load: the run ends with its status."""
    tests = "\n".join(source.replace("fails", f"fails_{number}") for number in range(AT_MOST + 1))
    (tmp_path / "test_many.py").write_text(tests)
    ran = run(tmp_path)
    assert ran.returncode == status
    assert "Running what failed once more" not in ran.stdout


def test_the_second_run_is_alone() -> None:
    """Of the arguments, those that make processes for tests are left out."""
    assert alone(["-n", "2", "-q", "--dist", "loadfile", "tests/unit"]) == ["-q", "tests/unit"]


def test_a_test_during_which_the_process_died_runs_again(tmp_path: Path) -> None:
    """Where tests run beside each other, one that ends its process the first time fails nothing else."""
    dies = CHANCE.replace("from pathlib import Path\n", "import os\nfrom pathlib import Path\n")
    dies = dies.replace("    assert ran\n", "    ran or os._exit(1)\n")
    (tmp_path / "test_chance.py").write_text(f"{dies}\ndef test_passes():\n    pass\n")
    ran = run(tmp_path, "-n", "2", "--dist", "loadfile", "-p", "tests.support.xdist_scheduling")
    assert ran.returncode == 0, ran.stdout
    assert "1 failed, 1 passed" in ran.stdout
    assert ran.stdout.splitlines()[-1].startswith("Failed beside other tests, passed alone: test_chance.py::test_fails")
