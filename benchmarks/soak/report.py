"""The outcome of a soak as a Markdown text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.harness.summary import markdown_table
from benchmarks.soak.callers import Tally
from benchmarks.soak.usage import Usage
from benchmarks.soak.verdict import Growth


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a soak found: how many times each fault was caused, and calls and samples by kind and by process."""

    minutes: float
    faults_caused: Mapping[str, int]
    calls: Mapping[str, Tally]
    growths: Sequence[Growth]
    samples: Mapping[str, Sequence[Usage]]

    def faults(self) -> list[str]:
        """What should not have been, in sentences."""
        failed = [
            f"{kind}: {tally.failed} of {tally.calls:,} calls failed, the first: {tally.reasons[0]}"
            for kind, tally in self.calls.items()
            if tally.failed
        ]
        return failed + [fault for growth in self.growths for fault in growth.faults()]

    def to_json(self) -> dict[str, Any]:
        """Everything, the samples too."""
        return asdict(self) | {"faults": self.faults()}

    def markdown(self) -> str:
        """Tables of processes and of calls, and the verdict."""
        caused = ", ".join(f"{count} x {name}" for name, count in self.faults_caused.items())
        verdict = "\n".join(f"- {fault}" for fault in self.faults()) or "Nothing grew, and no call failed."
        return "\n\n".join((f"{self.minutes:g} minutes; {caused}", self._processes(), self._calls(), verdict))

    def _processes(self) -> str:
        head = ["process", "USS, MiB", "ratio", "PSS, MiB", "files", "threads", "tasks"]
        rows = []
        for growth in self.growths:
            first, last = growth.first, growth.last
            rows.append(
                [
                    growth.name,
                    f"{first.unique_mb:.1f}, {last.unique_mb:.1f}",
                    f"{growth.memory:.3f}",
                    f"{first.proportional_mb:.1f}, {last.proportional_mb:.1f}",
                    f"{first.files}, {last.files}",
                    f"{first.threads}, {last.threads}",
                    f"{first.tasks}, {last.tasks}",
                ]
            )
        return markdown_table(head, rows)

    def _calls(self) -> str:
        head = ["calls", "number", "attempts repeated", "failed", "longest, s"]
        rows = [
            [kind, f"{tally.calls:,}", str(tally.again), str(tally.failed), f"{tally.longest_s:.2f}"]
            for kind, tally in self.calls.items()
        ]
        return markdown_table(head, rows)
