"""Finds out which instances this lookup host reaches: opens a TCP connection to each and closes it again.

Only addresses that are registered are tried, so that nobody can have other ports of the network looked at.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Mapping

from registry.instances.instance import Instance

TIMEOUT_S = 1.0
"""For one connection."""

IN_ALL_S = 3.0
"""For all of them; addresses that were not tried within this time are left open."""

KEPT_S = 5.0
"""How long a result is used again, so that many who ask cause no more connections than one."""

AT_A_TIME = 64

_Result = tuple[float, str]
"""When an address was tried, and what was found: "" where it was reached."""


class Reachability:
    """The results of the last seconds, by address."""

    def __init__(self) -> None:
        self._results: dict[str, _Result] = {}
        self._one_at_a_time = asyncio.Lock()

    async def faults(self, instances: Iterable[Instance]) -> Mapping[str, str]:
        """By address why it is not reached, in a clause; "" where it is. Addresses without a result are missing."""
        wanted = {instance.address: instance for instance in instances}
        async with self._one_at_a_time:
            self._forget_old()
            untried = [instance for address, instance in wanted.items() if address not in self._results]
            await self._try(untried)
            return {address: self._results[address][1] for address in wanted if address in self._results}

    def _forget_old(self) -> None:
        since_s = time.monotonic() - KEPT_S
        self._results = {address: result for address, result in self._results.items() if result[0] >= since_s}

    async def _try(self, instances: Iterable[Instance]) -> None:
        free = asyncio.Semaphore(AT_A_TIME)

        async def one(instance: Instance) -> None:
            async with free:
                fault = await _fault(instance)
            self._results[instance.address] = time.monotonic(), fault

        tasks = [asyncio.create_task(one(instance)) for instance in instances]
        if not tasks:
            return
        try:
            await asyncio.wait(tasks, timeout=IN_ALL_S)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _fault(instance: Instance) -> str:
    """Why a connection to the instance cannot be opened; "" where it can."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            _, writer = await asyncio.open_connection(instance.host, instance.port)
    except TimeoutError:
        return f"no answer within {TIMEOUT_S:g} s"
    except OSError as error:
        return (os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)).lower()
    writer.transport.abort()
    return ""
