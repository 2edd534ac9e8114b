"""Runs a small Python program and reads the numbers that it prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def printed_numbers(program: str) -> list[int]:
    """What a Python program prints, as numbers; it runs in a process of its own."""
    output = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    return [int(word) for word in output.stdout.split()]
