"""What a lookup service's summary says of one service, as far as `p2p status` shows it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from p2pclient.cli.status.figures import NO_FIGURES, Figures, figures_of
from p2pclient.messages import MALFORMED


@dataclass(frozen=True, slots=True)
class WorkerSummary:
    """A worker's share of the lookups in per cent, sentences about what is unusual, and its rate, errors and times."""

    share_percent: float
    notes: tuple[str, ...] = ()
    figures: Figures = NO_FIGURES


@dataclass(frozen=True, slots=True)
class ServiceSummary:
    """Sentences about what is unusual about a service; its workers by id, None where the lookup service tells none.

    `figures` are those of all its workers together.
    """

    notes: tuple[str, ...] = ()
    workers: Mapping[str, WorkerSummary] | None = field(default=None)
    figures: Figures = NO_FIGURES


NO_SUMMARY = ServiceSummary()


def summary_of(said: Any) -> ServiceSummary:
    """One service of the summary; NO_SUMMARY where it is missing or has another form."""
    try:
        workers = {
            str(worker["id"]): WorkerSummary(
                float(worker["share_percent"]), _sentences(worker["notes"]), figures_of(worker.get("figures"))
            )
            for worker in said["workers"]
        }
        return ServiceSummary(_sentences(said["notes"]), workers, figures_of(said.get("figures")))
    except MALFORMED:
        return NO_SUMMARY


def _sentences(said: Any) -> tuple[str, ...]:
    return tuple(str(sentence) for sentence in said)
