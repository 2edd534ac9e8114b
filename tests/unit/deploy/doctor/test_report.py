"""Findings as text and JSON, and the exit code that they give."""

from __future__ import annotations

import json

import pytest

from deploy.doctor.finding import Finding, error, ok, warning
from deploy.doctor.report import WIDTH, Group, as_json, as_text, exit_code

GOOD, BAD, WORSE = ok("Fine."), warning("So \x1b[31mso.", "Do this."), error("Broken " * 40, "Do that.")


@pytest.mark.parametrize(
    ("findings", "code", "last"),
    [
        ([], 0, "All is well."),
        ([GOOD], 0, "All is well."),
        ([GOOD, BAD], 1, "1 warning: mend the first one first."),
        ([WORSE, BAD, BAD], 2, "1 error and 2 warnings: mend the first one first."),
    ],
)
def test_the_worst_finding_is_the_exit_code(findings: list[Finding], code: int, last: str) -> None:
    """0, 1 for warnings, 2 for errors; the last line counts them."""
    groups = [Group("consul", findings)]
    assert exit_code(groups) == code
    assert as_text(groups).splitlines()[-1] == last


def test_text_fits_and_controls_no_terminal() -> None:
    """Lines are short, each finding has its level, cures stand below, escapes are shown."""
    text = as_text([Group("consul", [GOOD, BAD, WORSE])])
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "  ok      Fine.\n  warning So \\x1b[31mso.\n          Cure: Do this.\n  error   Broken" in text


def test_json_has_every_finding() -> None:
    """One line, with counts."""
    text = as_json([Group("consul", [GOOD, BAD])])
    assert json.loads(text) == {
        "findings": [
            {"check": "consul", "level": "ok", "what": "Fine.", "cure": None},
            {"check": "consul", "level": "warning", "what": "So \x1b[31mso.", "cure": "Do this."},
        ],
        "errors": 0,
        "warnings": 1,
    }
    assert text.count("\n") == 1
