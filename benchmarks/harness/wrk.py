"""wrk, the HTTP load generator: one thread on the client's core."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence

from benchmarks.harness.affinity import CLIENT_CORE


def wrk(url: str, *, seconds: float, connections: int = 32, headers: Sequence[str] = ()) -> float:
    """Requests per second that one thread of wrk gets out of `url`, measured for whole seconds, at least one.

    `headers` go with every request.

    Raises RuntimeError if any answer was not 2xx.
    """
    duration = f"-d{max(1, round(seconds))}s"
    command = ["taskset", "-c", str(CLIENT_CORE), "wrk", "-t1", f"-c{connections}", duration, url]
    command += [part for header in headers for part in ("-H", header)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in printed:
        raise RuntimeError(f"{url} answered errors:\n{printed}")
    found = re.search(r"Requests/sec:\s*([\d.]+)", printed)
    assert found, printed
    return float(found[1])
