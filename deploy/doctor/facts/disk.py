"""How much room there is for the cache folder, and whether it can be written to."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from deploy.doctor.findings.disk import DiskFacts


def disk_facts(folder: Path) -> DiskFacts:
    """The facts about the folder, or about that in which it would be made."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free_bytes = shutil.disk_usage(existing).free
    if not existing.is_dir():
        return DiskFacts(folder, free_bytes, f"{existing} is not a folder")
    writable = os.access(existing, os.W_OK | os.X_OK)
    return DiskFacts(folder, free_bytes, "" if writable else f"this user may not write to {existing}")
