"""Runs pytest, and a few tests that fail once more, alone: python -m tests.support.rerun PYTEST_ARGUMENTS...

A test that fails beside others and passes alone has found a fault of its own, or of what it tests, that depends on the
machine's load: it is named at the end, for somebody to mend, but what else was tested is not lost for it.

With --whole-modules as the first argument, all tests of a module run again where one of them has failed: they depend
on each other.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

AT_MOST = 3
"""Failed tests that are run again: more of them have no cause in the machine's load."""
WHOLE_MODULES = "--whole-modules"
CACHE = Path(".pytest_cache", "rerun")


def main(arguments: Sequence[str]) -> int:
    """Pytest's exit status: that of the second run where there is one."""
    whole_modules = arguments[:1] == [WHOLE_MODULES]
    arguments = arguments[1:] if whole_modules else arguments
    status = run_pytest([*arguments, "--cache-clear"])
    failed = read_failed() if status == 1 else []
    if not 0 < len(failed) <= AT_MOST:
        return status
    print(f"Running what failed once more, alone: {', '.join(failed)}", flush=True)
    status = run_pytest(modules_again(arguments, failed) if whole_modules else failed_again(arguments))
    if status == 0:
        print(f"Failed beside other tests, passed alone: {', '.join(failed)}", flush=True)
    return status


def failed_again(arguments: Sequence[str]) -> list[str]:
    """The arguments that run only what has failed."""
    return [*alone(arguments), "--last-failed", "--last-failed-no-failures", "none"]


def modules_again(arguments: Sequence[str], failed: Sequence[str]) -> list[str]:
    """The arguments that run all tests of the modules of those that have failed, and no others."""
    modules = dict.fromkeys(name.partition("::")[0] for name in failed)
    return [*(argument for argument in alone(arguments) if not Path(argument).exists()), *modules]


def run_pytest(arguments: Sequence[str]) -> int:
    """Run it with a cache that no other run uses; its exit status."""
    return subprocess.call([sys.executable, "-m", "pytest", "-o", f"cache_dir={CACHE}", *arguments])


def read_failed() -> list[str]:
    """The tests that failed in the last run."""
    try:
        return sorted(json.loads((CACHE / "v" / "cache" / "lastfailed").read_text()))
    except FileNotFoundError:
        return []


def alone(arguments: Sequence[str]) -> list[str]:
    """The arguments without those that run tests beside each other."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and argument not in ("-n", "--dist"):
            kept.append(argument)
        skip = argument in ("-n", "--dist")
    return kept


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
