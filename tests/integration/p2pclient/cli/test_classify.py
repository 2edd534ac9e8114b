"""`python -m p2pclient` as users run it: a child process, its two streams and its exit code."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys

import pytest


def test_one_file_gives_a_list_of_labels(fleet, p2p, photos):
    """One label a line with its score, best first, five of them."""
    fleet.add()
    code, out, err = p2p("classify", photos[0])
    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == ["tabby         0.610", "tiger cat     0.300"]
    assert len(out.splitlines()) == 5


def test_several_files_give_a_line_each(fleet, p2p, photos):
    """`file: label score` in the order given; --top adds labels to the line."""
    fleet.add(2)
    code, out, _ = p2p("classify", *photos)
    assert (code, out.splitlines()) == (0, [f"{name}: tabby 0.610" for name in photos])
    code, out, _ = p2p("classify", photos[0], photos[1], "--top", 2)
    assert out.splitlines()[0] == f"{photos[0]}: tabby 0.610, tiger cat 0.300"


def test_a_folder_means_its_images(fleet, p2p, photos):
    """Images at any depth, sorted, whatever the case of their suffix; other files are left alone."""
    fleet.add()
    code, out, err = p2p("classify", "photos")
    assert (code, err) == (0, "")
    assert [line.split(":")[0] for line in out.splitlines()] == photos


def test_a_folder_without_images_is_a_failure(fleet, p2p, tmp_path):
    """Nothing to do where there should have been something is said, not passed over."""
    (tmp_path / "empty").mkdir()
    code, out, err = p2p("classify", "empty")
    assert (code, out) == (1, "")
    assert err.startswith("p2p classify: empty: no image in this folder")


def test_names_come_from_standard_input(fleet, p2p, photos):
    """`-` reads one name a line, blank lines and a missing last newline included."""
    fleet.add()
    code, out, err = p2p("classify", "-", input=f"{photos[0]}\n\n{photos[1]}")
    assert (code, err) == (0, "")
    assert [line.split(":")[0] for line in out.splitlines()] == photos[:2]


def test_names_may_come_from_find_print0(fleet, p2p, photos):
    """Null characters between names are no part of them; one inside a line is a failure, not a traceback."""
    fleet.add()
    code, out, err = p2p("classify", "-", input="\0".join(photos) + "\0")
    assert (code, err) == (0, "")
    assert [line.split(":")[0] for line in out.splitlines()] == photos
    code, out, err = p2p("classify", "-", input=f"{photos[0]}\na\0b.jpg\n")
    assert (code, len(out.splitlines())) == (1, 1)
    assert err.endswith("b.jpg: a name cannot hold a null character\n")


def test_images_that_are_left_out_are_named(fleet, p2p, photos, tmp_path):
    """A TIFF in a folder is left out with a word on standard error; nothing failed."""
    fleet.add()
    (tmp_path / "photos/d.tiff").touch()
    code, out, err = p2p("classify", "photos")
    assert (code, len(out.splitlines())) == (0, 3)
    assert err == "p2p classify: photos/d.tiff: left out: workers read JPEG, PNG, WebP, GIF and BMP\n"


def test_names_may_come_from_a_file(fleet, p2p, photos, tmp_path):
    """Standard input may be an ordinary file, which no event loop can wait for."""
    fleet.add()
    (tmp_path / "names").write_text("\n".join(photos))
    with (tmp_path / "names").open() as names:
        code, out, _ = p2p("classify", "-", stdin=names)
    assert (code, len(out.splitlines())) == (0, 3)


def test_answers_come_before_standard_input_ends(fleet, p2p, photos):
    """Each name is answered when it comes: a pipe may stay open for hours."""
    fleet.add()
    process = p2p.start("classify", "-", "--json", stdin=subprocess.PIPE)
    for name in photos:
        process.stdin.write(name + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["file"] == name
    assert process.communicate(timeout=10)[0] == ""
    assert process.returncode == 0


def test_json_lines(fleet, p2p, photos):
    """One object a line, failures too; those are also told on standard error, and the exit code is 1."""
    (worker,) = fleet.add()
    code, out, err = p2p("classify", "--json", photos[0], "none.jpg", photos[1], "--top", "1")
    first, failed, last = map(json.loads, out.splitlines())
    assert code == 1
    assert first.pop("took_s") > 0
    assert first == {"file": photos[0], "labels": [["tabby", 0.61]], "worker": worker.address}
    assert failed == {"file": "none.jpg", "error": "No such file or directory"}
    assert last["file"] == photos[1]
    assert err == "p2p classify: none.jpg: No such file or directory\n"


def test_csv(fleet, p2p, photos):
    """A header, one row a label, and one row for what failed; names with commas are quoted."""
    fleet.add()
    code, out, _ = p2p("classify", "--csv", "--top", 2, photos[0], "a,b.jpg")
    assert code == 1
    assert list(csv.reader(io.StringIO(out))) == [
        ["file", "rank", "label", "score", "error"],
        [photos[0], "1", "tabby", "0.61", ""],
        [photos[0], "2", "tiger cat", "0.3", ""],
        ["a,b.jpg", "", "", "", "No such file or directory"],
    ]


def test_order_is_kept_and_few_are_under_way(fleet, p2p, tmp_path):
    """Results come in the order of the names, though later ones are ready earlier, --concurrency at a time."""
    names = [f"{number}.jpg" for number in range(12)]
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    (worker,) = fleet.add()
    under_way, most = 0, 0
    all_there = asyncio.Event()

    async def later_ones_first(request, body):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if len(worker.seen) == 12:
            all_there.set()
        if body == b"0.jpg":
            await all_there.wait()
        under_way -= 1
        return await fleet.answer(request, body)

    worker.behave = later_ones_first
    code, out, _ = p2p("classify", *names, "--concurrency", 3)
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines()] == names
    assert most <= 3


def test_ctrl_c_prints_what_is_done(fleet, p2p, tmp_path):
    """On SIGINT what is finished is printed although an earlier one still hangs, and counted; the exit code is 130."""
    for name in ("slow.jpg", "quick.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    (worker,) = fleet.add()

    async def hang_for_slow(request, body):
        return await (fleet.hang if body == b"slow.jpg" else fleet.answer)(request, body)

    worker.behave = hang_for_slow
    process = p2p.start("classify", "--json", "--concurrency", 2, "slow.jpg", "quick.jpg", "slow.jpg")
    fleet.until(lambda: len(worker.seen) == 3)  # two at a time: the quick one's answer has been read
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert [json.loads(line)["file"] for line in out.splitlines()] == ["quick.jpg"]
    assert err == "p2p classify: interrupted: 1 classified, 0 failed\n"


def test_ctrl_c_ends_a_wait_for_names(fleet, p2p):
    """On SIGINT a command that waits for the next name ends at once."""
    fleet.add()
    process = p2p.start("classify", "-", stdin=subprocess.PIPE)
    process.stdin.write("none.jpg\n")
    process.stdin.flush()
    assert process.stderr.readline() == "p2p classify: none.jpg: No such file or directory\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    process.communicate()


def test_a_closed_pipe_ends_it_quietly(fleet, p2p, photos):
    """When the reader goes away (`| head -1`) there is no traceback and no hang."""
    fleet.add()
    process = p2p.start("classify", "-", stdin=subprocess.PIPE)
    process.stdin.write(photos[0] + "\n")
    process.stdin.flush()
    assert process.stdout.readline() == f"{photos[0]}: tabby 0.610\n"
    process.stdout.close()
    process.stdin.write(photos[1] + "\n")
    process.stdin.flush()
    assert process.wait(timeout=10) == 1
    assert process.stderr.read() == ""
    process.stdin.close()
    process.stderr.close()


def test_a_failing_fleet_gives_one_clear_line(fleet, p2p, photos):
    """The sentence of the error, with its cause and cure, and nothing else."""
    fleet.add()[0].behave = fleet.answers(400, "this is no image: send a JPEG, PNG, WebP, GIF or BMP")
    code, out, err = p2p("classify", photos[0])
    assert (code, out) == (1, "")
    assert err == f"p2p classify: {photos[0]}: this is no image: send a JPEG, PNG, WebP, GIF or BMP\n"


def test_no_lookup_service_gives_one_clear_line(p2p, photos, closed_port):
    """A wrong address is named together with the command that starts the service."""
    options = ("--registry", f"127.0.0.1:{closed_port}", "--timeout", 1)
    code, out, err = p2p("classify", photos[0], *options)
    assert (code, out) == (1, "")
    assert err.startswith(f"p2p classify: {photos[0]}: no lookup service at http://127.0.0.1:{closed_port}: ")
    assert "p2p up" in err
    code, out, err = p2p("lookup", *options)
    assert (code, out) == (1, "")
    assert err.startswith(f"p2p lookup: no lookup service at http://127.0.0.1:{closed_port}: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("classify",),
        ("classify", "--json", "--csv", "a.jpg"),
        ("classify", "--top", "0", "a.jpg"),
        ("classify", "--concurrency", "0", "a.jpg"),
        ("classify", "--registry", "a b", "a.jpg"),
        ("lookup", "--count", "0"),
        ("classify", "--colour", "a.jpg"),
    ],
)
def test_wrong_usage(p2p, arguments):
    """Invalid usage exits with 2 and says so on standard error (or shows the help)."""
    code, out, err = p2p(*arguments)
    assert code == 2
    assert "Usage:" in out + err
    assert "Traceback" not in err


def test_lookup_prints_addresses(fleet, p2p):
    """One HOST:PORT a line, in rotation; --json prints what the lookup service answers."""
    workers = fleet.add(2)
    assert p2p("lookup") == (0, f"{workers[0].address}\n", "")
    assert p2p("lookup", "classify", "--count", 5)[1].splitlines() == [workers[1].address, workers[0].address]
    _, out, _ = p2p("lookup", "--json")
    assert json.loads(out) == fleet.lookup._shown(workers[0])
    code, out, err = p2p("lookup", "clasify")
    assert (code, out) == (1, "")
    assert "classify, echo" in err


def test_flags_come_from_the_environment(fleet, p2p, photos):
    """P2P_<FLAG> stands for a flag; a flag wins over it."""
    fleet.add()
    _, out, _ = p2p("classify", photos[0], env={"P2P_TOP": "2", "P2P_JSON": "1"})
    assert len(json.loads(out)["labels"]) == 2
    _, out, _ = p2p("classify", photos[0], "--top", "3", env={"P2P_TOP": "2", "P2P_JSON": "1"})
    assert len(json.loads(out)["labels"]) == 3


def test_names_that_are_no_text_are_printed_all_the_same(fleet, p2p, tmp_path):
    """A file name that is not UTF-8 does not end the command."""
    fleet.add()
    (tmp_path / "photos").mkdir()
    (tmp_path / os.fsdecode(b"photos/\xff.jpg")).write_bytes(fleet.jpeg)
    code, out, err = p2p("classify", "photos")
    assert (code, out, err) == (0, "photos/\\udcff.jpg: tabby 0.610\n", "")


def test_a_terminal_gets_the_same_lines(fleet, p2p, photos):
    """On a terminal the list is the same: nothing to strip when it is copied."""
    fleet.add()
    ours, theirs = pty.openpty()
    process = p2p.start("classify", photos[0], stdout=theirs)
    os.close(theirs)
    assert process.wait(timeout=30) == 0
    assert os.read(ours, 10_000).startswith(b"tabby         0.610\r\n")
    os.close(ours)
    process.communicate()


def test_help_teaches():
    """The help names every flag with its variable and gives an example to copy."""
    command = [sys.executable, "-m", "p2pclient", "classify", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    flags = (
        "registry",
        "service",
        "top",
        "json",
        "csv",
        "timeout",
        "concurrency",
        "routing",
        "output",
        "truth",
        "plot",
    )
    for flag in flags:
        assert f"--{flag}" in text
        assert f"P2P_{flag.upper()}" in text
    assert "p2p classify cat.jpg" in text
    assert "130 interrupted" in " ".join(text.split())
