"""What the advertised address means, and which registered addresses the lookup service reaches. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploy.doctor.finding import Finding, error, ok, warning
from worker.advertising.choice import InterfaceAddress


@dataclass(frozen=True, slots=True)
class RegisteredAddress:
    """An instance's id and address. `unreachable`: why the lookup host does not reach it; None: it did not say."""

    id: str
    address: str
    here: bool
    unreachable: str | None


@dataclass(frozen=True, slots=True)
class AddressFacts:
    """Where a worker of this host would be advertised: `host`, or a sentence why not (`trouble`).

    `loopback`: the sentence with which a worker would refuse the address. `registered` is what is registered now, of
    all hosts; `asked`: a lookup service has said which of it it reaches.
    """

    host: str
    trouble: str
    loopback: str
    own: Sequence[InterfaceAddress]
    registered: Sequence[RegisteredAddress]
    asked: bool


def findings(facts: AddressFacts, *, worker: bool) -> list[Finding]:
    """The address is one of this host that others reach, and the lookup service reaches what is registered."""
    found = [_advertised(facts)] if worker else []
    return found + _reached(facts)


def _advertised(facts: AddressFacts) -> Finding:
    if facts.trouble:
        return error(facts.trouble, "Name the address at which clients reach this host with --advertise.")
    if facts.loopback:
        cure = "Give the worker --host 0.0.0.0 and, where that is not found out right, --advertise."
        return error(facts.loopback, cure)
    interface = next((entry.interface for entry in facts.own if entry.text == facts.host), None)
    where = f"which is {interface} of this host" if interface else "which is no address of this host itself"
    return ok(f"A worker here is advertised at {facts.host}, {where}.")


def _reached(facts: AddressFacts) -> list[Finding]:
    broken = [entry for entry in facts.registered if entry.unreachable]
    found = [_broken(entry) for entry in broken]
    reached = sum(entry.unreachable == "" for entry in facts.registered)
    if reached:
        found.append(ok(f"The lookup service reaches {reached} of the {len(facts.registered)} registered addresses."))
    elif not broken and facts.asked and not facts.registered:
        found.append(ok("Nothing is registered yet: start a worker to have the lookup service try its address."))
    return found


def _broken(entry: RegisteredAddress) -> Finding:
    what = f"The lookup service cannot reach {entry.id} at {entry.address}: {entry.unreachable}."
    if not entry.here:
        return warning(f"{what} It is not of this host.", "Run p2p doctor --role worker on its host.")
    return error(
        what,
        "Name an address at which other hosts reach this one with --advertise, have the worker listen there (--host), "
        "and open the port in the firewall.",
    )
