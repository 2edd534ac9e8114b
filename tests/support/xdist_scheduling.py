"""A pytest plugin: a process that dies while tests run beside each other costs the one test that it ran, no other."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController


class SurvivingScheduling(LoadFileScheduling):
    """A module of tests goes to one process, as with LoadFileScheduling, which waits for ever after a process's death.

    There, the dead process's finished modules are given out again; the process that takes its place gets one of them,
    has nothing to run, and so is never given more. (Seen with xdist 3.8.0.)
    """

    def remove_node(self, node: WorkerController) -> str | None:
        """The test during which the process died, if it did, which does not run again; its other tests will."""
        modules = {name: tests for name, tests in self.assigned_work.pop(node).items() if not all(tests.values())}
        if not modules:
            return None
        tests = next(iter(modules.values()))
        died = next(name for name, ended in tests.items() if not ended)
        tests[died] = True
        self.workqueue.update({name: tests for name, tests in modules.items() if not all(tests.values())})
        for other in self.nodes:
            self._reschedule(other)
        return died

    def schedule(self) -> None:
        """As before, but a process that joins late gets a second module: it keeps its last test until it has more."""
        super().schedule()
        for node in self.nodes:
            self._reschedule(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SurvivingScheduling | None:
    """Instead of LoadFileScheduling."""
    return SurvivingScheduling(config, log) if config.getoption("dist") == "loadfile" else None
