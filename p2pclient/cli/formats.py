"""Predictions and workers as lines: for people, as JSON (one object a line) or as CSV.

JSON holds every name and label exactly; elsewhere characters that control terminals are escaped.
"""

from __future__ import annotations

import csv
import io
import json

from p2pclient.cli.inputs import IMAGE_SUFFIXES
from p2pclient.cli.terminal_output.terminal import visible
from p2pclient.errors import P2PError
from p2pclient.types import Classification, Worker

CSV_HEADER = ("file", "rank", "label", "score", "error")


def reason(error: P2PError | OSError) -> str:
    """The error in one sentence; the caller writes the file's name before it."""
    if isinstance(error, IsADirectoryError):  # folders are read only where no image is in them
        return f"no image in this folder: their names end in {', '.join(sorted(IMAGE_SUFFIXES))}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)


def as_list(prediction: Classification) -> str:
    """One label a line with its score, the labels in a column."""
    labels = [(visible(label), score) for label, score in prediction.labels]
    width = max(len(label) for label, _ in labels)
    return "".join(f"{label:<{width}}  {score:.3f}\n" for label, score in labels)


def as_line(file: str, prediction: Classification) -> str:
    """`file: label score`, further labels after commas."""
    return f"{visible(file)}: {', '.join(f'{visible(label)} {score:.3f}' for label, score in prediction.labels)}\n"


def as_row(file: str, prediction: Classification, width: int) -> str:
    """A row of a table whose first column has `width` characters; a longer name loses its beginning."""
    file = visible(file)
    name = file if len(file) <= width else "…" + file[1 - width :]
    return f"{name:<{width}}  {', '.join(f'{score:.3f} {visible(label)}' for label, score in prediction.labels)}\n"


def as_json(file: str, outcome: Classification | P2PError | OSError, *, truth: str | None = None) -> str:
    """One JSON object: `file` with `labels`, `worker` and `took_s`, or with `error`; and `truth` if it is known."""
    if isinstance(outcome, Classification):
        answer = {"labels": outcome.labels, "worker": outcome.worker, "took_s": round(outcome.took_s, 6)}
    else:
        answer = {"error": reason(outcome)}
    known = {} if truth is None else {"truth": truth}
    return json.dumps({"file": file} | answer | known) + "\n"


def as_csv(file: str, outcome: Classification | P2PError | OSError) -> str:
    """One row a label under `CSV_HEADER`, or one row with the error."""
    if isinstance(outcome, Classification):
        labels = enumerate(outcome.labels, start=1)
        return "".join(csv_row(file, rank, label, score, "") for rank, (label, score) in labels)
    return csv_row(file, "", "", "", reason(outcome))


def csv_row(*cells: object) -> str:
    """One line of CSV, quoted where needed."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([visible(str(cell)) for cell in cells])
    return line.getvalue()


def worker_as_json(worker: Worker) -> str:
    """One JSON object with the fields that the lookup service answers."""
    fields = ("service", "id", "host", "port", "address", "scheme", "auth", "version", "boot")
    ticket = {} if worker.ticket is None else {"ticket": worker.ticket}
    return json.dumps({field: getattr(worker, field) for field in fields} | ticket) + "\n"


def worker_as_line(worker: Worker) -> str:
    """What curl can post to: the address, with the ticket for it where the worker wants one."""
    return f"{worker.address}{'' if worker.ticket is None else f'/?ticket={worker.ticket}'}\n"
