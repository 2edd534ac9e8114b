"""Accuracy as text: a summary, and the confusion matrix if it fits, else the most frequent confusions; pure."""

from __future__ import annotations

from collections.abc import Sequence

from p2pclient.cli.evaluation.metrics import OTHER, Accuracy
from p2pclient.cli.terminal_output.columns import aligned, shortened, table_width
from p2pclient.cli.terminal_output.terminal import visible

_NAME_COLUMNS = 24
_CONFUSIONS = 15


def report(accuracy: Accuracy, *, failed: int, unlabelled: int, width: int) -> str:
    """The whole report, in lines of at most `width` (40 or more) columns."""
    lines = [summary(accuracy)]
    if accuracy.undecided:
        lines.append(f"the results file holds too few labels to decide about top-5 for {accuracy.undecided}")
    if failed or unlabelled:
        lines.append(f"not counted: {failed} failed, {unlabelled} without a true label")
    if accuracy.images:
        classes, rows = accuracy.classes, accuracy.matrix()
        lines += ["", *(_matrix(classes, rows, width) or _confusions(accuracy, width))]
    return "\n".join(lines) + "\n"


def summary(accuracy: Accuracy) -> str:
    """Images, top-1 and top-5 on one line."""
    images = "1 image" if accuracy.images == 1 else f"{accuracy.images} images"
    bound = "at least " if accuracy.undecided else ""
    return f"{images}: top-1 {accuracy.top1:.1%}, top-5 {bound}{accuracy.top5:.1%}"


def _matrix(classes: Sequence[str], rows: Sequence[Sequence[int]], width: int) -> list[str]:
    """A row for each true label, a numbered column for each predicted one; nothing if it is too wide."""
    heads = [str(number) for number in range(1, len(classes) + 1)]
    names = [shortened(f"{head} {visible(name)}", _NAME_COLUMNS) for head, name in zip(heads, classes, strict=True)]
    if any(row[-1] for row in rows):
        heads.append(OTHER)
    else:
        rows = [row[:-1] for row in rows]
    cells = [[str(count) if count else "." for count in row] for row in rows]
    table = [["true \\ predicted", *heads], *([name, *row] for name, row in zip(names, cells, strict=True))]
    return aligned(table, texts=(0,), width=width) if table_width(table) <= width else []


def _confusions(accuracy: Accuracy, width: int) -> list[str]:
    """The most frequent confusions, one on each line."""
    pairs = accuracy.confused()
    if not pairs:
        return [f"no confusion among {len(accuracy.classes)} classes"]
    digits = len(str(pairs[0][0]))
    room = (width - digits - len(" x  taken for ")) // 2
    lines = [
        f"{count:>{digits}} x {shortened(visible(true), room)} taken for {shortened(visible(best), room)}"
        for count, true, best in pairs[:_CONFUSIONS]
    ]
    more = len(pairs) - len(lines)
    title = f"most confused of {len(accuracy.classes)} classes:"
    return [title, *lines, *([f"and {more} pairs more"] if more else [])]
