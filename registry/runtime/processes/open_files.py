"""The limit of open files, and so of connections: raised as far as this user may, often from 1,024."""

from __future__ import annotations

import resource


def raise_limit() -> None:
    """Raise the soft limit to the hard one, for this process and those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def limit() -> int:
    """How many files this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return UNLIMITED if soft == resource.RLIM_INFINITY else soft


UNLIMITED = 1 << 20
"""What counts as the limit where the system sets none."""
