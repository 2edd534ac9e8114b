"""Lines of output for people and for programs."""

from __future__ import annotations

import errno
import json

import pytest

from p2pclient import BadImage, Classification, Label
from p2pclient.cli import formats

CLASSIFICATION = Classification((Label("tabby", 0.61), Label("tiger cat", 0.3)), "10.0.0.1:4711", 0.0123, 1)


def test_texts_for_people():
    """Labels stand in a column; in a list of files they stand behind the file."""
    assert formats.as_list(CLASSIFICATION) == "tabby      0.610\ntiger cat  0.300\n"
    assert formats.as_line("a.jpg", CLASSIFICATION) == "a.jpg: tabby 0.610, tiger cat 0.300\n"


def test_texts_for_programs():
    """JSON and CSV are each one line an item, whatever the file is called."""
    odd = 'a,"b\n.jpg'
    assert json.loads(formats.as_json(odd, CLASSIFICATION)) == {
        "file": odd,
        "labels": [["tabby", 0.61], ["tiger cat", 0.3]],
        "worker": "10.0.0.1:4711",
        "took_s": 0.0123,
    }
    assert formats.as_json(odd, CLASSIFICATION).count("\n") == 1
    assert formats.as_csv("a.jpg", CLASSIFICATION) == "a.jpg,1,tabby,0.61,\na.jpg,2,tiger cat,0.3,\n"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.jpg"), "No such file or directory"),
        (
            IsADirectoryError(errno.EISDIR, "Is a directory", "a"),
            "no image in this folder: their names end in .bmp",
        ),
        (BadImage("send a JPEG"), "send a JPEG"),
        (OSError("odd"), "odd"),
    ],
)
def test_reasons(error, reason):
    """An error is told in one sentence that does not repeat the file's name."""
    assert formats.reason(error).startswith(reason)
    assert json.loads(formats.as_json("a.jpg", error))["error"] == formats.reason(error)
    assert formats.as_csv("a.jpg", error).startswith("a.jpg,,,,")


def test_foreign_text_controls_no_terminal():
    """Labels and file names are escaped in lists, lines, tables and CSV; JSON holds them exactly."""
    odd = Classification((Label("\x1b[2J\u202e", 0.5),), "10.0.0.1:1", 0.1, 1)
    escaped = r"\x1b[2J\u202e"
    assert formats.as_list(odd) == f"{escaped}  0.500\n"
    assert formats.as_line("a\n.jpg", odd) == f"a\\n.jpg: {escaped} 0.500\n"
    assert formats.as_row("a\n.jpg", odd, 8) == f"a\\n.jpg   0.500 {escaped}\n"
    assert formats.as_csv("a\n.jpg", odd) == f"a\\n.jpg,1,{escaped},0.5,\n"
    assert json.loads(formats.as_json("a\n.jpg", odd))["labels"] == [["\x1b[2J\u202e", 0.5]]
