"""What checking tickets costs a worker: its processor time per request, with and without.

    python -m benchmarks.worker.parts.tickets [--seconds 2] [--rounds 7]

Two workers with the engine that predicts nothing answer raw bodies of 35 kB in turns over 16 connections: one as it is,
and one that requires tickets. Both are sent the same requests: with the ticket of one caller, and with those of 1,000
callers in turn, so that the worker remembers no head of a request. The processor time of the whole process is divided
by its answers: on a core of its own a worker's throughput is the inverse.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from benchmarks.harness.connections import Target
from benchmarks.harness.inputs import padded_bmp
from benchmarks.harness.load_generator import closed_loop
from benchmarks.harness.p2p import Running, agent, worker
from benchmarks.harness.processes import threads_cpu_s
from benchmarks.harness.requests import post
from benchmarks.harness.summary import markdown_table
from registry.security.tickets.ticket import Ticket, sign
from tests.support.security.ticket_issuer import Issuer, issuing

CONNECTIONS = 16
BODY_BYTES = 35_000
CALLERS = 1_000
LIFETIME_S = 3_600


async def issued(consul_url: str) -> Issuer:
    """A key that the workers learn from Consul."""
    async with issuing(consul_url) as issuer:
        return issuer


def messages(issuer: Issuer) -> dict[str, tuple[bytes, ...]]:
    """The requests of each kind; the worker that requires no tickets does not look at them."""
    content, now_s = padded_bmp(BODY_BYTES), int(time.time())

    def ticketed(number: int) -> bytes:
        ticket = Ticket(f"caller-{number}", "classify", now_s, now_s + LIFETIME_S)
        text = sign(ticket, issuer.key.private, issuer.key.key_id)
        return post(content, "image/bmp", headers=f"Authorization: Bearer {text}\r\n")

    return {
        "one caller": (ticketed(0),),
        f"{CALLERS:,} callers": tuple(map(ticketed, range(CALLERS))),
    }


def cost_us(server: Running, requests: Sequence[bytes], *, seconds: float) -> float:
    """Processor microseconds of the worker for one request."""
    before_s = threads_cpu_s(server.pid)
    load = closed_loop(Target(server.port, tuple(requests)), connections=CONNECTIONS, seconds=seconds)
    if load.count(200) != len(load.answers):
        raise RuntimeError(f"not all answers had the status 200: {sorted({a.status for a in load.answers})}")
    return (threads_cpu_s(server.pid) - before_s) * 1e6 / len(load.answers)


def measure(servers: Mapping[str, Running], issuer: Issuer, *, seconds: float, rounds: int) -> list[list[str]]:
    """A row for each kind of requests: the median costs, and the median of their ratios within each round."""
    rows = []
    for name, requests in messages(issuer).items():
        found = [one_round(servers, requests, number, seconds=seconds) for number in range(rounds + 1)]
        counted = found[1:]  # the first round warms up
        costs = [f"{statistics.median(column):.0f}" for column in zip(*counted, strict=True)]
        ratio = statistics.median(guarded / unguarded for unguarded, guarded in counted)
        rows.append([name, *costs, f"{ratio:.3f}"])
    return rows


def one_round(servers: Mapping[str, Running], requests: Sequence[bytes], number: int, *, seconds: float) -> list[float]:
    """The costs of one round, in the order of `servers`, which take turns in being the first."""
    order = list(servers)[:: 1 if number % 2 else -1]
    costs = {name: cost_us(servers[name], requests, seconds=seconds) for name in order}
    return [costs[name] for name in servers]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with ExitStack() as stack:
        consul = stack.enter_context(agent())
        issuer = asyncio.run(issued(consul.url))
        servers = {
            "checks none": stack.enter_context(worker(consul.url)),
            "checks tickets": stack.enter_context(worker(consul.url, "--require-ticket")),
        }
        rows = measure(servers, issuer, seconds=options.seconds, rounds=options.rounds)
    print(markdown_table(["tickets of; processor microseconds per request", *servers, "ratio"], rows))


if __name__ == "__main__":
    main()
