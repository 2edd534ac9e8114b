"""Logs what is odd about a service when it begins, and once: panic mode, and workers that cannot be asked."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from p2pclient.types import Panic, UnusableWorker

logger = logging.getLogger("p2pclient")


class ServiceNotices:
    """Remembers for each service what was odd in the last answer about it."""

    def __init__(self) -> None:
        self._panic: dict[str, Panic] = {}
        self._unusable: dict[str, frozenset[UnusableWorker]] = {}

    def panic(self, service: str) -> Panic | None:
        """How few workers are healthy, if the last answer about this service was given in panic mode."""
        return self._panic.get(service)

    def note_panic(self, service: str, panic: Panic | None) -> None:
        """The last answer says so, or nothing of the kind."""
        if panic is None:
            if self._panic.pop(service, None) is not None:
                logger.info("%s: at least half of the workers are healthy again", service)
            return
        if service not in self._panic:
            sentence = "%s: %d of %d workers are healthy, fewer than half: all of them are used"
            logger.warning(sentence, service, panic.healthy, panic.total)
        self._panic[service] = panic

    def note_unusable(self, service: str, unusable: Sequence[UnusableWorker]) -> None:
        """The last list of all workers holds these besides."""
        told = self._unusable.get(service, frozenset())
        for worker in unusable:
            if worker not in told:
                # The id is foreign text, and may hold anything.
                logger.warning("%s: worker %s is left out: %s", service, ascii(worker.id), worker.reason)
        self._unusable[service] = frozenset(unusable)
