"""When a process asks to lead the checks of the catalogue, and when it keeps quiet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from registry.catalog_checks.leader import Candidate
from registry.catalog_checks.probe_sessions import ProbeSessions
from registry.consul.errors import TokenRefused
from registry.runtime.tasks.supervise import cancel_all
from registry.runtime.tls.trust import TrustFiles
from tests.support.waiting import until


class Nodes:
    """The catalogue: whether it holds a worker, at one answer after the other; then nothing changes."""

    def __init__(self, *answers: bool) -> None:
        self.answers = list(answers)

    async def any_nodes(self, *, index: int = 0) -> tuple[int, bool]:
        if not self.answers:
            await asyncio.Event().wait()
        return index + 1, self.answers.pop(0)

    async def all(self, *, index: int = 0) -> tuple[int, Sequence[object]]:
        if index:
            await asyncio.Event().wait()
        return 1, ()


class Lock:
    """A lock that is free, or that our token may not take."""

    def __init__(self, *, refused: bool = False) -> None:
        self.refused = refused
        self.asked = 0

    async def until_free(self, *, wait_s: float) -> bool:
        return True

    async def acquire(self) -> bool:
        self.asked += 1
        if self.refused:
            raise TokenRefused("Consul refused: Permission denied.")
        return True

    async def release(self) -> None:
        return


def candidate(nodes: Nodes, lock: Lock) -> Candidate:
    return Candidate(nodes, lock, ProbeSessions(TrustFiles()))  # type: ignore[arg-type]  # fakes


async def test_nothing_to_check_is_nothing_to_lead() -> None:
    """Where no worker is in the catalogue no lock is taken; when one comes it is."""
    nodes, lock = Nodes(False, False), Lock()
    task = asyncio.create_task(candidate(nodes, lock).run())
    await until(lambda: not nodes.answers)
    assert lock.asked == 0
    await cancel_all(task)
    nodes.answers = [False, True]
    task = asyncio.create_task(candidate(nodes, lock).run())
    await until(lambda: lock.asked == 1)
    await cancel_all(task)


async def test_the_log_says_which_rights_are_missing(caplog: pytest.LogCaptureFixture) -> None:
    """A token that may not take the lock is said once, with the rights that it needs."""
    lock = Lock(refused=True)
    task = asyncio.create_task(candidate(Nodes(True, True, True), lock).run())
    await until(lambda: lock.asked == 3)
    await cancel_all(task)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "session:write" in warning
    assert "p2p-serving/catalog-checks/leader" in warning
