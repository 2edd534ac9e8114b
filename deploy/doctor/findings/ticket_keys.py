"""What the private ticket keys of this host and the public ones in Consul mean. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from deploy.doctor.finding import Finding, error, ok, warning


@dataclass(frozen=True, slots=True)
class TicketKeyFacts:
    """The keys by id: `own` in this host's folder (None: no folder is named), those in Consul with their hosts.

    `folder_fault`: why the folder cannot be used. `published` None: Consul did not say, and `trouble` says why.
    """

    folder: str = ""
    own: Collection[str] | None = None
    folder_fault: str = ""
    published: Mapping[str, str] | None = None
    revoked: Collection[str] = ()
    malformed: Collection[str] = ()
    trouble: str = ""


def findings(facts: TicketKeyFacts, *, checks: bool) -> list[Finding]:
    """Every key that signs here is one that workers find in Consul; `checks`: workers here require tickets."""
    found = _folder(facts)
    if facts.published is None:
        return [*found, warning(f"Consul does not show the ticket keys: {facts.trouble}", "Look at the rights above.")]
    if checks and not facts.published:
        found.append(
            error(
                "Workers here require tickets, and Consul holds no key with which to check one.",
                "Start a lookup service with --ticket-keys; where one runs, give its token and the worker's the "
                "rights to the keys (p2p doctor --role lookup says which).",
            )
        )
    elif facts.published:
        hosts = ", ".join(sorted(set(facts.published.values())))
        found.append(ok(f"Ticket keys that Consul holds: {len(facts.published)}, of {hosts}."))
    found += [
        warning(f"The ticket key {key!a} in Consul cannot be read and is not used.", f"p2p keys revoke {key}")
        for key in facts.malformed
    ]
    return found


def _folder(facts: TicketKeyFacts) -> list[Finding]:
    if facts.folder_fault:
        return [error(facts.folder_fault, "As it says; then start p2p registry again.")]
    if facts.own is None:
        return []
    if not facts.own:
        return [ok(f"--ticket-keys {facts.folder} holds no key yet: p2p registry makes one at its start.")]
    found = []
    published = facts.published
    if published is not None:
        unknown = sorted(set(facts.own) - set(published) - set(facts.revoked))
        found += [
            error(
                f"The key {key} in {facts.folder} is not in Consul, so workers refuse what it signs.",
                "Start p2p registry with --ticket-keys, and give its token the right to write keys.",
            )
            for key in unknown
        ]
        found += [
            warning(f"The key {key} in {facts.folder} has been revoked.", "p2p keys rotate makes another.")
            for key in sorted(set(facts.own) & set(facts.revoked))
        ]
    return found or [ok(f"The private keys in {facts.folder}, {len(facts.own)}, are readable by their owner alone.")]
