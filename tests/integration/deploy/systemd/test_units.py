"""Every unit of deploy/ is one that systemd accepts without a word, and confined."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[4] / "deploy"
UNITS = sorted(path for kind in ("service", "timer") for path in DEPLOY.rglob(f"*.{kind}"))
SERVICES = [path for path in UNITS if path.suffix == ".service"]

pytestmark = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_every_unit(unit: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say, where the programs that units start exist."""
    for path in UNITS:
        text = path.read_text()
        for program in ("/opt/p2p-serving/current/bin/p2p", "/usr/local/bin/consul", "/usr/local/lib/p2p-serving/"):
            text = text.replace(f"ExecStart={program}", f"ExecStart=/bin/true {program}")
        (tmp_path / path.name).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", tmp_path / unit.name], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)
def test_services_are_confined(unit: Path) -> None:
    """`systemd-analyze security` rates what each service may do at 3 of 10 at most."""
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=30", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
