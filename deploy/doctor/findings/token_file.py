"""What a token file's state means. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.doctor.finding import Finding, error, ok, warning


@dataclass(frozen=True, slots=True)
class TokenFileFacts:
    """The file, how many callers it names, why it cannot be used, and whether other users may read it."""

    path: str
    callers: int = 0
    fault: str = ""
    open_to_others: bool = False


def findings(facts: TokenFileFacts) -> list[Finding]:
    """It can be used, and nobody else reads it."""
    if facts.fault:
        return [error(f"--tokens {facts.path}: {facts.fault}", "`p2p tokens new NAME` prints what to write there.")]
    found = [ok(f"--tokens {facts.path} names {facts.callers} caller{'s' if facts.callers > 1 else ''}.")]
    if facts.open_to_others:
        found.append(warning(f"Other users of this host may read {facts.path}.", f"chmod 600 {facts.path}"))
    return found
