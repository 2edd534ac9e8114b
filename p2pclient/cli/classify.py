"""What `p2p classify` does: names become files, files become answers, answers become lines, counts and accuracy.

Parsing the command line is `cli`'s business; here everything is decided already.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import sys
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from p2pclient.cli import formats
from p2pclient.cli.evaluation.ground_truth import Truth
from p2pclient.cli.evaluation.metrics import Accuracy
from p2pclient.cli.inputs import files, images_in
from p2pclient.cli.results_file import Results
from p2pclient.cli.terminal import printable, write
from p2pclient.concurrent_map import Many
from p2pclient.errors import P2PError
from p2pclient.types import Prediction

if TYPE_CHECKING:
    from p2pclient.async_client import AsyncClient
    from p2pclient.cli.progress import Bar

Outcome: TypeAlias = Prediction | P2PError | OSError

_LABELS_FOR_TRUTH = 5
_NAME_CHARS = 48


class Form(enum.Enum):
    """How answers are written to standard output."""

    LIST = "one image: a line for each label"
    LINES = "file: label score"
    JSON = "one object a line"
    CSV = "one row a label"
    NOTHING = "they go into a file"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command line asked for. `output` is a results file that has been opened."""

    names: Sequence[str]
    form: Form
    top: int
    concurrency: int
    truth: Truth | None = None
    output: Results | None = None


class Run:
    """One `p2p classify`: what is done so far and where it is told."""

    def __init__(self, client: AsyncClient, wanted: Wanted) -> None:
        self._client = client
        self._wanted = wanted
        self._bar: Bar | None = None
        self._name_chars: int | None = None  # of a table's first column
        self.accuracy = Accuracy()
        self.classified = 0
        self.failed = 0
        self.skipped = 0
        self.unlabelled = 0

    async def run(self) -> None:
        """Classify all, telling each outcome as its turn comes; on cancellation also what is finished by then."""
        wanted = self._wanted
        given, total = await _listed(wanted.names)
        if wanted.form is Form.CSV:
            write(formats.csv_row(*formats.CSV_HEADER))
        with contextlib.ExitStack() as stack:
            if _bar_fits(wanted, total):
                from p2pclient.cli.progress import Bar

                self._bar = stack.enter_context(Bar(None if total is None else len(total)))
                self._name_chars = min(_NAME_CHARS, max(map(len, total))) if total and sys.stdout.isatty() else None
            many = Many(self._left(given), self._outcome, concurrency=wanted.concurrency, ordered=wanted.output is None)
            async with self._client, many as results:
                try:
                    async for file, outcome in results:
                        self._take(file, outcome)
                except asyncio.CancelledError:  # Ctrl-C: what is done is told all the same
                    for file, outcome in results.finished():
                        self._take(file, outcome)
                    raise

    @property
    def summary(self) -> str:
        """What was done, in a sentence."""
        skipped = f", {self.skipped} were there already" if self.skipped else ""
        return f"{self.classified} classified, {self.failed} failed{skipped}"

    async def _left(self, given: AsyncIterable[str]) -> AsyncIterator[str]:
        """The files whose results are not held."""
        held = self._wanted.output.held if self._wanted.output else {}
        async for file in given:
            if file in held:
                self.skipped += 1
                self._judge(file, held[file])
                if self._bar:
                    self._bar.skipped()
            else:
                yield file

    async def _outcome(self, file: str) -> Outcome:
        top = max(self._wanted.top, _LABELS_FOR_TRUTH) if self._wanted.truth else self._wanted.top
        try:
            return await self._client.classify(file, top=top)
        except (P2PError, OSError) as error:
            return error

    def _take(self, file: str, outcome: Outcome) -> None:
        """Tell one outcome, and count it."""
        failed = not isinstance(outcome, Prediction)
        truth = self._wanted.truth.label(file) if self._wanted.truth else None
        if self._wanted.output:
            self._wanted.output.append(formats.as_json(file, outcome, truth=truth))
        text = self._text(file, outcome, truth)
        if text and not (self._bar and self._bar.write(printable(text))):
            write(text)
        if not isinstance(outcome, Prediction):
            self.failed += 1
            complaint = f"p2p classify: {file}: {formats.reason(outcome)}"
            if not (self._bar and self._bar.complain(printable(complaint))):
                print(complaint, file=sys.stderr, flush=True)
        else:
            self.classified += 1
            self._judge(file, [label for label, _ in outcome.labels])
        if self._bar:
            self._bar.done(failed=failed)

    def _judge(self, file: str, labels: Sequence[str]) -> None:
        if self._wanted.truth is None:
            return
        truth = self._wanted.truth.label(file)
        if truth is None:
            self.unlabelled += 1
        else:
            self.accuracy.add(truth, labels)

    def _text(self, file: str, outcome: Outcome, truth: str | None) -> str:
        """What standard output gets to see."""
        form = self._wanted.form
        if isinstance(outcome, Prediction):  # more labels may have been asked for than are wanted here
            outcome = dataclasses.replace(outcome, labels=outcome.labels[: self._wanted.top])
        if form is Form.JSON:
            return formats.as_json(file, outcome, truth=truth)
        if form is Form.CSV:
            return formats.as_csv(file, outcome)
        if form is Form.NOTHING or not isinstance(outcome, Prediction):
            return ""
        if form is Form.LIST:
            return formats.as_list(outcome)
        if self._name_chars is None:
            return formats.as_line(file, outcome)
        return formats.as_row(file, outcome, self._name_chars)


async def _listed(names: Sequence[str]) -> tuple[AsyncIterable[str], list[str] | None]:
    """The files that are meant, and a list of them unless some names come from standard input."""
    if "-" in names:
        return files(names, stdin=0), None
    found = await asyncio.to_thread(lambda: [file for name in names for file in images_in(name)])
    return _each(found), found


async def _each(found: Sequence[str]) -> AsyncIterator[str]:
    for file in found:
        yield file


def _bar_fits(wanted: Wanted, total: Sequence[str] | None) -> bool:
    """Whether there is a terminal for a bar, and something to wait for; who types names in does not want one."""
    if total is None:
        return sys.stderr.isatty() and not sys.stdin.isatty()
    return len(total) > 1 and (sys.stderr.isatty() or sys.stdout.isatty())
