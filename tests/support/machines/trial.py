"""Boots one machine and removes it, or says in a line why not: python -m tests.support.machines.trial."""

from __future__ import annotations

import subprocess
import sys

from tests.support.machines.machine import running_machines
from tests.support.machines.podman import PodmanError, missing


def main() -> int:
    """0 where machines can be had; the image that they boot from is there afterwards."""
    reason = missing() or boot_one()
    print(reason.strip().splitlines()[-1] if reason else "Machines can be had.")
    return 1 if reason else 0


def boot_one() -> str:
    """Why a machine does not boot here; empty where it does."""
    try:
        with running_machines("trial", folders={}):
            return ""
    except (PodmanError, subprocess.SubprocessError, OSError) as error:
        return str(error) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
