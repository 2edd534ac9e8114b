"""One run of `p2p classify`: names become files, files become predictions, predictions become lines and accuracy.

The command line has been read already: `ClassifyOptions` holds what it asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import errno
import sys
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from p2pclient.cli import formats
from p2pclient.cli.evaluation.ground_truth import GroundTruth
from p2pclient.cli.evaluation.metrics import Accuracy
from p2pclient.cli.inputs import LeftOut, files, images_in
from p2pclient.cli.results_file import ResultsFile
from p2pclient.cli.terminal_output.terminal import complain, printable, visible, write
from p2pclient.concurrency.concurrent_map import ConcurrentMap
from p2pclient.errors import P2PError
from p2pclient.types import Classification

if TYPE_CHECKING:
    from p2pclient.async_client import AsyncClient
    from p2pclient.cli.terminal_output.progress import ProgressBar

Outcome: TypeAlias = Classification | P2PError | OSError

_LABELS_FOR_ACCURACY = 5
_NAME_COLUMNS = 48


class Form(enum.Enum):
    """How predictions are written to standard output."""

    LIST = "one image: a line for each label"
    LINES = "file: label score"
    JSON = "one object a line"
    CSV = "one row a label"
    NOTHING = "they go into a file"


@dataclass(frozen=True, kw_only=True)
class ClassifyOptions:
    """What the command line asked for. `output` is a results file that has been opened."""

    names: Sequence[str]
    form: Form
    top: int
    concurrency: int
    truth: GroundTruth | None = None
    output: ResultsFile | None = None


class ClassifyRun:
    """One `p2p classify`: it classifies all images, writes each outcome, and counts."""

    def __init__(self, client: AsyncClient, options: ClassifyOptions) -> None:
        self._client = client
        self._options = options
        self._bar: ProgressBar | None = None
        self._name_columns: int | None = None  # of a table's first column
        self.accuracy = Accuracy()
        self.classified = 0
        self.failed = 0
        self.skipped = 0
        self.unlabelled = 0

    async def run(self) -> None:
        """Classify all images and write each outcome in its turn; on cancellation, write what is finished by then."""
        options = self._options
        given, total = await _find_files(options.names, self._left_out)
        if options.form is Form.CSV:
            write(formats.csv_row(*formats.CSV_HEADER))
        with contextlib.ExitStack() as stack:
            if _bar_fits(total):
                from p2pclient.cli.terminal_output.progress import ProgressBar

                self._bar = stack.enter_context(ProgressBar(None if total is None else len(total)))
                self._name_columns = _name_columns(total)
            remaining = self._without_held(given)
            ordered = options.output is None
            outcomes = ConcurrentMap(remaining, self._classify, concurrency=options.concurrency, ordered=ordered)
            async with self._client, outcomes:
                try:
                    async for file, outcome in outcomes:
                        self._record(file, outcome)
                except asyncio.CancelledError:  # Ctrl-C: what is finished is written all the same
                    for file, outcome in outcomes.finished():
                        self._record(file, outcome)
                    raise

    @property
    def summary(self) -> str:
        """What was done, in a sentence."""
        skipped = f", {self.skipped} were there already" if self.skipped else ""
        return f"{self.classified} classified, {self.failed} failed{skipped}"

    async def _without_held(self, given: AsyncIterable[str]) -> AsyncIterator[str]:
        """The files whose results the results file does not hold; those that it holds are counted."""
        output = self._options.output
        async for file in given:
            if output and file in output.held:
                self.skipped += 1
                self._count_accuracy(file, output.held[file], complete=file not in output.incomplete)
                if self._bar:
                    self._bar.skipped()
            else:
                yield file

    async def _classify(self, file: str) -> Outcome:
        if "\0" in file:
            return OSError(errno.EINVAL, "a name cannot hold a null character")
        top = max(self._options.top, _LABELS_FOR_ACCURACY) if self._options.truth else self._options.top
        try:
            return await self._client.classify(file, top=top)
        except (P2PError, OSError) as error:
            return error

    def _record(self, file: str, outcome: Outcome) -> None:
        """Write one outcome, and count it."""
        truth = self._options.truth.label(file) if self._options.truth else None
        if self._options.output:
            self._options.output.append(formats.as_json(file, outcome, truth=truth))
        text = self._text(file, outcome, truth)
        if text and not (self._bar and self._bar.write(printable(text))):
            write(text)
        if isinstance(outcome, Classification):
            self.classified += 1
            self._count_accuracy(file, [label for label, _ in outcome.labels])
        else:
            self.failed += 1
            self.complain(f"{file}: {formats.reason(outcome)}")
        if self._bar:
            self._bar.done(failed=not isinstance(outcome, Classification))

    def _left_out(self, file: str, reason: str) -> None:
        self.complain(f"{file}: left out: {reason}")

    def complain(self, sentence: str) -> None:
        """Write one line to standard error, above the bar if there is one."""
        if not (self._bar and self._bar.complain(f"p2p classify: {visible(sentence)}")):
            complain("classify", sentence)

    def _count_accuracy(self, file: str, labels: Sequence[str], *, complete: bool = True) -> None:
        if self._options.truth is None:
            return
        truth = self._options.truth.label(file)
        if truth is None:
            self.unlabelled += 1
        else:
            self.accuracy.add(truth, labels, complete=complete)

    def _text(self, file: str, outcome: Outcome, truth: str | None) -> str:
        """What goes to standard output."""
        form = self._options.form
        if isinstance(outcome, Classification):  # the accuracy may have needed more labels
            outcome = dataclasses.replace(outcome, labels=outcome.labels[: self._options.top])
        if form is Form.JSON:
            return formats.as_json(file, outcome, truth=truth)
        if form is Form.CSV:
            return formats.as_csv(file, outcome)
        if form is Form.NOTHING or not isinstance(outcome, Classification):
            return ""
        if form is Form.LIST:
            return formats.as_list(outcome)
        if self._name_columns is None:
            return formats.as_line(file, outcome)
        return formats.as_row(file, outcome, self._name_columns)


async def _find_files(names: Sequence[str], left_out: LeftOut) -> tuple[AsyncIterable[str], list[str] | None]:
    """The files that the names mean, and a list of them unless some names come from standard input."""
    if "-" in names:
        return files(names, stdin=0, left_out=left_out), None
    found = await asyncio.to_thread(lambda: [file for name in names for file in images_in(name, left_out)])
    return _each(found), found


async def _each(found: Sequence[str]) -> AsyncIterator[str]:
    for file in found:
        yield file


def _bar_fits(total: Sequence[str] | None) -> bool:
    """Whether there is a terminal for a bar, and something to wait for; a person who types names in wants no bar."""
    if total is None:
        return sys.stderr.isatty() and not sys.stdin.isatty()
    return len(total) > 1 and (sys.stderr.isatty() or sys.stdout.isatty())


def _name_columns(total: Sequence[str] | None) -> int | None:
    """The width of a table's first column; None where lines of text are written instead of a table."""
    if not total or not sys.stdout.isatty():
        return None
    return min(_NAME_COLUMNS, max(len(visible(name)) for name in total))
