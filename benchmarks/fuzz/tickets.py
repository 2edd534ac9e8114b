"""Mutates signed tickets, of which none may be accepted, and none may raise anything but a refusal.

    python -m benchmarks.fuzz.tickets [--count 100000] [--seed N]

Characters are changed, removed and inserted, bits flipped, claims and headers replaced, algorithms confused (an HMAC
with the public key, no signature), tickets signed by other keys, parts rearranged and padded. Each text goes through
the check that a worker makes, and to its port as a header and in the query, after the ticket itself has come that way
and is remembered; at the first one that is accepted it prints the text and exits with code 1. The ticket itself is
checked in between, so that a check which refuses everything is found, too.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter

from registry.security.access_control import AccessControl
from registry.security.caller import Quota
from registry.security.quota import Quotas
from registry.security.tickets.key_folder import PrivateKey, new_key
from registry.security.tickets.ticket import Limits, Ticket, TicketRefused, sign
from registry.security.tickets.ticket_check import Asked, TicketCheck
from tests.support.plain_post import PlainPost, with_header, with_query
from tests.support.security.ticket_mutations import TicketMutations
from worker.errors import WorkerError
from worker.web.access.port_access import PortAccess
from worker.web.access.ticket_gate import TicketGate

TICKETS = 50
"""Different tickets, each of them mutated as often as the others."""


def ticket_of(number: int, key: PrivateKey, now_s: int) -> str:
    """One of several kinds of tickets: with and without worker, limits and quota."""
    limits = Limits(1_000_000, 3, f"id-{number}", 2.5) if number % 2 else Limits()
    quota = Quota(5.0, 0.5) if number % 3 else Quota()
    instance_id = "echo-127.0.0.1-9001" if number % 5 else None
    ticket = Ticket(f"caller-{number}", "echo", now_s, now_s + 3_600, instance_id, limits, quota)
    return sign(ticket, key.private, key.key_id)


class AcceptedError(Exception):
    """A mutated ticket was accepted, or the ticket itself was not."""


def run(count: int, seed: int) -> Counter[str]:
    """Check `count` mutations; how often each sentence was the answer. Raises AcceptedError."""
    key, chance, check = new_key(0), random.Random(seed), TicketCheck()
    check.use_keys({key.key_id: key.private.public_key()})
    sentences: Counter[str] = Counter()
    for number in range(TICKETS):
        ticket = ticket_of(number, key, int(time.time()))
        port = port_that_remembers(ticket, key)
        mutations = TicketMutations(ticket, key.private.public_key(), chance)
        if refusal(check, ticket) is not None:
            raise AcceptedError(f"the ticket itself was refused: {ticket}")
        for _ in range(count // TICKETS):
            text = mutations.next()
            refused = refusal(check, text)
            if refused is None or admitted(port, text, ticket):
                raise AcceptedError(f"accepted: {text!r}")
            sentences[refused] += 1
    return sentences


def refusal(check: TicketCheck, text: str) -> str | None:
    """The sentence with which a worker refuses the text; None where it accepts it."""
    try:
        check.check(
            text, Asked("echo", 35_000), instance_ids={"echo-127.0.0.1-9001"}, services={"echo"}, now_s=time.time()
        )
    except TicketRefused as refused:
        return str(refused)
    return None


def port_that_remembers(ticket: str, key: PrivateKey) -> PortAccess:
    """A worker's port to which the ticket has come already, in every way that it is sent."""
    check = TicketCheck()
    check.use_keys({key.key_id: key.private.public_key()})
    gate = TicketGate(check, service="echo", services={"echo"}, instance_ids={"echo-127.0.0.1-9001"})
    port = PortAccess(AccessControl(quotas=Quotas(places=10)), service="echo", tickets=gate)
    for request in (with_header(ticket), with_query(ticket)):
        port.admit(request)
    return port


def admitted(port: PortAccess, text: str, ticket: str) -> bool:
    """Whether the port admits the text in place of the ticket, in any way; a header may have spaces around it."""
    requests = [with_query(text), *([with_header(text)] if text.strip() != ticket else [])]
    return any(admits(port, request) for request in requests)


def admits(port: PortAccess, request: PlainPost) -> bool:
    """Whether the port admits the request."""
    try:
        port.admit(request)
    except WorkerError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    arguments = parser.parse_args()
    try:
        sentences = run(arguments.count, arguments.seed)
    except AcceptedError as error:
        sys.exit(f"seed {arguments.seed}: {error}")
    for sentence, times in sentences.most_common():
        print(f"{times:>8}  {sentence}")
    print(f"{sum(sentences.values()):>8}  mutated tickets, none accepted (seed {arguments.seed})")


if __name__ == "__main__":
    main()
