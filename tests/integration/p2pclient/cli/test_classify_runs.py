"""Long runs of `p2p classify` as users make them: patterns, results files, truth, and a terminal with a bar."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import termios
import threading

import pytest
from aiohttp import web
from typer.testing import CliRunner

from p2pclient.cli.app import application


@pytest.fixture
def labelled(fleet, tmp_path):
    """Six images in folders `tabby` and `lynx`, of which the worker takes one lynx for a tabby."""
    for name in ("tabby/1.png", "tabby/2.png", "tabby/3.png", "lynx/4.png", "lynx/5.png", "lynx/6.png"):
        path = tmp_path / "test" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (worker,) = fleet.add()

    async def see(_request, body):
        best = "lynx" if body in (b"lynx/4.png", b"lynx/5.png") else "tabby"
        other = "tabby" if best == "lynx" else "lynx"
        return web.json_response([[best, 0.7], [other, 0.2], ["cougar", 0.1]])

    worker.behave = see
    return worker


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Runs a command in this process; its exit code and what it said, for commands that end before they ask anybody."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        result = CliRunner().invoke(application(arguments), arguments)
        return result.exit_code, re.sub(r"[\s│]+", " ", result.output)

    return run


class Terminal:
    """A terminal of 80 columns that collects what a program writes to it."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self._pieces: list[bytes] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        try:
            while piece := os.read(self._ours, 65536):
                self._pieces.append(piece)
        except OSError:  # the other end is closed
            return

    def close(self) -> str:
        """What was written, with carriage returns left out, once the program has ended."""
        os.close(self.theirs)
        self._reader.join(timeout=10)
        os.close(self._ours)
        return b"".join(self._pieces).decode().replace("\r", "")


def test_patterns_mean_what_they_match(fleet, p2p, photos):
    """A quoted pattern is matched here, `**` included; one that matches nothing is named."""
    fleet.add()
    assert [line.split(":")[0] for line in p2p("classify", "photos/*.[pJ]*")[1].splitlines()] == photos[:2]
    assert [line.split(":")[0] for line in p2p("classify", "**/*", "--routing", "lookup")[1].splitlines()] == photos
    assert p2p("classify", "*.tiff") == (1, "", "p2p classify: *.tiff: No such file or directory\n")


def test_a_results_file_is_gone_on_with(fleet, p2p, photos, tmp_path):
    """What the file holds is not sent again; what failed is, and so is what was cut off in the middle."""
    (worker,) = fleet.add()
    code, out, err = p2p("classify", photos[0], "none.jpg", "--output", "r.jsonl")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == "p2p classify: 1 classified, 1 failed"
    with (tmp_path / "r.jsonl").open("a") as results:
        results.write(f'{{"file": "{photos[1]}", "labels": [["ta')
    (tmp_path / "none.jpg").write_bytes(fleet.jpeg)
    code, out, err = p2p("classify", "photos", "none.jpg", "--output", "r.jsonl")
    assert (code, out) == (0, "")
    assert err == "p2p classify: 3 classified, 0 failed, 1 were there already\n"
    held = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert sorted(one["file"] for one in held if "labels" in one) == ["none.jpg", *photos]
    assert len(worker.seen) == 4


def test_an_interrupted_run_keeps_what_was_done(fleet, p2p, photos, tmp_path):
    """Ctrl-C while one image hangs: the others are in the file, in any order; the bar leaves no trace."""
    (worker,) = fleet.add()
    (tmp_path / "photos/0.png").write_bytes(b"hang")

    async def hang_at_one(request, body):
        return await (fleet.hang if body == b"hang" else fleet.answer)(request, body)

    worker.behave = hang_at_one
    terminal = Terminal()
    process = p2p.start("classify", "photos", "--output", "r.jsonl", stderr=terminal.theirs, env={"TERM": "xterm"})
    results = tmp_path / "r.jsonl"
    fleet.until(lambda: results.exists() and results.read_text().count("\n") == 3)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=10)
    assert (process.returncode, out) == (130, "")
    said = terminal.close()
    assert re.search(r"3/4.*\x1b\[2K[^\n]*p2p classify: interrupted: 3 classified, 0 failed\n$", said, re.DOTALL)
    assert sorted(json.loads(line)["file"] for line in results.read_text().splitlines()) == photos


@pytest.mark.parametrize("content", ["no results\n", '{"file": 1}\n', "a text without an end"])
def test_another_file_is_not_touched(here, tmp_path, content):
    """A file that holds something else is refused as wrong usage and left as it is."""
    (tmp_path / "notes").write_text(content)
    code, said = here("classify", "a.png", "--output", "notes")
    assert code == 2
    assert "is no result of p2p classify" in said
    assert (tmp_path / "notes").read_text() == content


def test_accuracy_by_folder(p2p, labelled, tmp_path):
    """Top-1, top-5 and a confusion matrix, counted by the folders' names; the picture is a PNG."""
    code, out, err = p2p("classify", "test", "--truth", "by-folder", "--plot", "c.png")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "test/lynx/4.png: lynx 0.700"
    assert lines[6:] == [
        "6 images: top-1 83.3%, top-5 100.0%",
        "",
        "true \\ predicted  1  2",
        "1 lynx            2  1",
        "2 tabby           .  3",
    ]
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_accuracy_from_a_table(fleet, p2p, photos, tmp_path):
    """Files are found as the table writes them, from its folder; those it lacks are counted apart; JSON stays JSON."""
    fleet.add()
    (tmp_path / "photos/labels.csv").write_text("file,label\na.png,Tabby\nb.JPG,Tiger_Cat\n")
    code, out, err = p2p("classify", "photos", "--truth", "photos/labels.csv", "--json", "--top", "1")
    assert code == 0
    first, second, third = map(json.loads, out.splitlines())
    assert (first["truth"], second["truth"], len(first["labels"])) == ("Tabby", "Tiger_Cat", 1)
    assert "truth" not in third
    assert err.splitlines()[:2] == [
        "2 images: top-1 50.0%, top-5 100.0%",
        "not counted: 0 failed, 1 without a true label",
    ]


def test_accuracy_counts_what_is_held_already(p2p, labelled):
    """A run that is gone on with reports on all of its images."""
    p2p("classify", "test/tabby", "--output", "r.jsonl")
    code, out, _ = p2p("classify", "test", "--output", "r.jsonl", "--truth", "by-folder")
    assert (code, out.splitlines()[0]) == (0, "6 images: top-1 83.3%, top-5 100.0%")


def test_top_5_of_a_file_with_fewer_labels_is_a_lower_bound(fleet, p2p, photos, tmp_path):
    """What `--top 1 --output` wrote cannot tell whether the true label was second: the report says so."""
    fleet.add()
    (tmp_path / "labels.csv").write_text("photos/a.png,tabby\nphotos/b.JPG,tiger cat\nphotos/deep/c.webp,lynx\n")
    assert p2p("classify", "photos/a.png", "photos/b.JPG", "--top", "1", "--output", "r.jsonl")[0] == 0
    code, out, _ = p2p("classify", "photos", "--output", "r.jsonl", "--truth", "labels.csv")
    assert (code, out.splitlines()[:2]) == (
        0,
        [
            "3 images: top-1 33.3%, top-5 at least 66.7%",
            "the results file holds too few labels to decide about top-5 for 1",
        ],
    )


def test_true_labels_that_no_image_got_are_a_failure(fleet, p2p, photos):
    """`--truth by-folder` over folders that are no labels ends with a sentence and exit code 1, beside its 0.0%."""
    fleet.add()
    code, out, err = p2p("classify", "photos", "--truth", "by-folder")
    assert (code, out.splitlines()[3]) == (1, "3 images: top-1 0.0%, top-5 0.0%")
    assert err == "p2p classify: no image got one of the true labels (deep, photos): does this model know them?\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--plot", "c.png"), "give both"),
        (("--truth", "none.csv"), "No such file"),
        (("--truth", "empty.csv"), "has no rows"),
        (("--truth", "short.csv"), "row without a label"),
        (("--json", "--output", "r.jsonl"), "exclude each other"),
        (("--output", "none/r.jsonl"), "No such file"),
        (("--routing", "guess"), "guess"),
    ],
)
def test_wrong_usage_of_runs(here, tmp_path, arguments, said):
    """Invalid usage is told before anything is sent, with exit code 2."""
    (tmp_path / "empty.csv").touch()
    (tmp_path / "short.csv").write_text("a.jpg,cat\nb.jpg\n")
    code, told = here("classify", "a.png", *arguments)
    assert code == 2
    assert said in told


def test_without_matplotlib_a_plot_says_what_to_install(p2p, photos, tmp_path):
    """A missing matplotlib is told before the work, with the command that installs it."""
    (tmp_path / "matplotlib.py").write_text("raise ImportError('no matplotlib here')")
    code, _, err = p2p(
        "classify",
        photos[0],
        "--truth",
        "by-folder",
        "--plot",
        "c.png",
        env={"PYTHONPATH": f"{tmp_path}:{os.getcwd()}"},
    )
    assert code == 2
    assert "pip install 'p2p-serving-client[plot]'" in err


def test_a_terminal_gets_a_table_and_a_bar_that_leaves(fleet, p2p, photos):
    """On a terminal names stand in a column, a bar shows count, rate and time left, and is gone in the end."""
    fleet.add()
    terminal = Terminal()
    process = p2p.start("classify", "photos", stdout=terminal.theirs, stderr=terminal.theirs, env={"TERM": "xterm"})
    assert process.wait(timeout=30) == 0
    text = terminal.close()
    assert re.search(r"photos/a.png +0.610 tabby\n", text)
    assert re.search(r"\d/3.* left", text)
    assert "\x1b[2K" in text[text.rindex(" left") :]  # erased


def test_a_bar_stays_out_of_a_pipe(fleet, p2p, photos):
    """Lines go into the pipe as ever, while the bar is on the terminal of standard error."""
    fleet.add()
    terminal = Terminal()
    process = p2p.start("classify", "photos", stderr=terminal.theirs, env={"TERM": "xterm"})
    out, _ = process.communicate(timeout=30)
    assert out.splitlines() == [f"{name}: tabby 0.610" for name in photos]
    assert "3/3" in terminal.close()


def test_lookup_gives_several(fleet, p2p):
    """--count gives up to that many different workers."""
    workers = fleet.add(3)
    out = p2p("lookup", "--count", 10)[1]
    assert sorted(out.splitlines()) == sorted(worker.address for worker in workers)
