"""The values of report.json -> one HTML page that loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from registry.runtime.visible_text import visible
from worker.training.report.contact_sheet import Shown, contact_sheet
from worker.training.report.figures import calibration_curve, confusion_matrix, learning_curve
from worker.training.report.measures import CalibrationBin, Interval

_MOST_ROWS = 200
"""Files that a table names; report.json names all."""

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
tr + tr td { border-top: 1px solid #8884; }
.big { font-size: 1.3rem; } .scroll { overflow-x: auto; }
.sheet { display: flex; flex-wrap: wrap; gap: .6rem; }
figure { margin: 0; width: 112px; } figcaption { font-size: .75rem; line-height: 1.3; overflow-wrap: anywhere; }
img { border-radius: 4px; display: block; } code { overflow-wrap: anywhere; }
"""


def page(facts: Mapping[str, Any]) -> str:
    """The page as text."""
    sections = [
        ("", _summary(facts)),
        ("Labels", _labels(facts)),
        ("Confusions", f'<div class="scroll">{confusion_matrix(np.array(facts["confusion"]), facts["labels"])}</div>'),
        ("Would more photos help?", _curve(facts)),
        ("Can its probabilities be trusted?", _calibration(facts)),
        ("The most confident mistakes", _mistakes(facts)),
        ("Photos whose label is probably wrong", _suspects(facts)),
        ("Copies and near-duplicates", _duplicates(facts)),
        ("What is left out", _left_out(facts)),
        ("Settings", _settings(facts)),
    ]
    body = "".join(f"<h2>{title}</h2>{content}" if title else content for title, content in sections)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Training report</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style></head><body><h1>Training report</h1>{body}</body></html>\n"
    )


def _summary(facts: Mapping[str, Any]) -> str:
    test = facts["test"]
    used = sum(sum(parts.values()) for parts in facts["photos"].values())
    return (
        f'<p class="big">Accuracy {test["share"]:.1%} on {test["photos"]} photos that were not trained on '
        f"(95 % interval {test['low']:.1%} to {test['high']:.1%}).</p>"
        f"<p>{used} photos of {len(facts['labels'])} labels were used; {len(facts['left_out'])} files and folders were "
        f"left out; {len(facts['suspects'])} labels are probably wrong; {len(facts['duplicates'])} pairs of photos are "
        "alike.</p>"
    )


def _labels(facts: Mapping[str, Any]) -> str:
    rows = []
    for measures in facts["by_label"]:
        parts = facts["photos"][measures["label"]]
        rows.append(
            (
                measures["label"],
                *(parts[part] for part in ("train", "validation", "test")),
                _percent(measures["precision"]),
                _percent(measures["recall"]),
            )
        )
    return _table(("label", "to train", "to validate", "to test", "precision", "recall"), rows)


def _curve(facts: Mapping[str, Any]) -> str:
    points = [(each["photos"], Interval(each["share"], each["low"], each["high"])) for each in facts["learning_curve"]]
    return learning_curve(points) or "<p>There were too few photos to draw a curve.</p>"


def _calibration(facts: Mapping[str, Any]) -> str:
    bins = [CalibrationBin(**each) for each in facts["calibration"]["bins"]]
    words = f"On average probability and accuracy are {facts['calibration']['error']:.1%} apart."
    return f"<p>{words}</p>{calibration_curve(bins)}"


def _mistakes(facts: Mapping[str, Any]) -> str:
    shown = [
        Shown(Path(each["file"]), f"{each['label']}, taken for {each['predicted']} ({each['probability']:.2f})")
        for each in facts["mistakes"]
    ]
    return contact_sheet(shown) if shown else "<p>No photo for testing was labelled wrongly.</p>"


def _suspects(facts: Mapping[str, Any]) -> str:
    shown = [Shown(Path(each["file"]), f"{each['label']}; {each['suggested']}?") for each in facts["suspects"]]
    return contact_sheet(shown) if shown else "<p>None was found.</p>"


def _duplicates(facts: Mapping[str, Any]) -> str:
    shown = [Shown(Path(file), Path(file).name) for pair in facts["duplicates"] for file in pair]
    words = "<p>Each pair is used in one part only: to train, to validate or to test.</p>"
    return words + contact_sheet(shown) if shown else "<p>None was found.</p>"


def _left_out(facts: Mapping[str, Any]) -> str:
    if not facts["left_out"]:
        return "<p>Nothing.</p>"
    reasons = _table(("reason", "files and folders"), list(facts["left_out_reasons"].items()))
    files = [(each["file"], each["reason"]) for each in facts["left_out"][:_MOST_ROWS]]
    return f"{reasons}<details><summary>Which</summary>{_table(('file', 'reason'), files)}</details>"


def _settings(facts: Mapping[str, Any]) -> str:
    return _table(("setting", "value"), list(facts["settings"].items()))


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{share:.1%}"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    numeric = [bool(rows) and not isinstance(cell, str) for cell in (rows[0] if rows else head)]

    def line(cells: Sequence[object], tag: str) -> str:
        marked = zip(cells, numeric, strict=True)
        return "".join(f"<{tag}{_class(number)}>{escape(visible(str(cell)))}</{tag}>" for cell, number in marked)

    lines = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{line(head, "th")}</tr>{lines}</table></div>'


def _class(number: bool) -> str:
    return ' class="number"' if number else ""
