"""A Consul whose answers cannot be read, or that sends those who ask, with their token, to somebody else."""

from __future__ import annotations

import json
import time
from urllib.parse import quote
from urllib.request import Request, urlopen

from benchmarks.attack.kinds.sending import HOST
from benchmarks.attack.relay import LIES, NONE, REDIRECTS
from benchmarks.attack.targets import SERVICE, Findings, Targets
from benchmarks.harness.processes import wait_until

_LIE_S = 1.0
_TRUTH_S = 0.5
_CONFIRMED_WITHIN_S = 60.0


def answer_nonsense(targets: Targets, findings: Findings) -> None:
    """Tell each lie for a second; in the end the lookup service must follow the truth again."""
    _tell(targets, findings, LIES)
    _expect_confirmed(targets, findings)


def redirect(targets: Targets, findings: Findings) -> None:
    """Redirect every request for a second, with each status; no request may go where the redirects lead."""
    _tell(targets, findings, tuple(REDIRECTS))
    with urlopen(f"http://{HOST}:{targets.relay}/stolen") as answer:
        stolen = json.load(answer)
    findings.outcomes["followed redirects"] += stolen.get("requests", 0)
    findings.expect(not stolen, f"redirects of Consul were followed: {stolen}")
    _expect_confirmed(targets, findings)


def _tell(targets: Targets, findings: Findings, lies: tuple[str, ...]) -> None:
    for lie in lies:
        _order(targets, lie)
        findings.outcomes[lie] += 1
        time.sleep(_LIE_S)
        _order(targets, NONE)
        time.sleep(_TRUTH_S)


def _order(targets: Targets, lie: str) -> None:
    with urlopen(Request(f"http://{HOST}:{targets.relay}/lie/{quote(lie)}", method="PUT")):
        pass


def _expect_confirmed(targets: Targets, findings: Findings) -> None:
    """The lookup service names all workers, and Consul confirms them, soon after the last lie."""

    def confirmed() -> bool:
        with urlopen(f"http://{HOST}:{targets.lookup}/instances/{SERVICE}") as answer:
            ports = {instance["port"] for instance in json.load(answer)["instances"]}
            return "X-Registry-Stale" not in answer.headers and ports >= set(targets.workers)

    try:
        wait_until(confirmed, what="the lookup service follows Consul again", within_s=_CONFIRMED_WITHIN_S)
    except TimeoutError as error:
        findings.expect(False, str(error))
