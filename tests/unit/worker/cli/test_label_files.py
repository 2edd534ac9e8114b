"""Local labelling answers file by file, and a bad file stops nothing."""

from __future__ import annotations

import csv
import io
import json
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.models.small_models import brightness
from tests.support.photos import encode
from worker.cli.label_files import label_files
from worker.cli.label_formats import Format


def run(names: list[str], *, form: Format = "text", top: int = 5) -> tuple[int, list[str], list[str]]:
    out, err = io.StringIO(), io.StringIO()
    code = label_files(names, model=brightness(), top=top, form=form, out=out, err=err)
    return code, out.getvalue().splitlines(), err.getvalue().splitlines()


def white(folder: Path, name: str = "white.png") -> str:
    (folder / name).write_bytes(encode(Image.new("RGB", (20, 20), "white"), "PNG"))
    return str(folder / name)


def test_each_file_gets_a_line(tmp_path: Path) -> None:
    """One line a file, best label first, `top` labels; line ends of names and empty names do not count."""
    file = white(tmp_path)
    assert run([file, f"{file}\n", "", "\n"]) == (0, [f"{file}: bright 1.000000, dark 0.000000"] * 2, [])
    assert run([file], top=1)[1] == [f"{file}: bright 1.000000"]


def test_json_is_one_object_a_line(tmp_path: Path) -> None:
    """As JSON each line is an object that other programs can read, whatever the file's name."""
    file = white(tmp_path, 'quote" and ünïcode.png')
    code, (line,), _ = run([file], form="json", top=1)
    assert (code, json.loads(line)) == (0, {"file": file, "labels": [["bright", 1.0]]})


def test_names_that_are_not_utf_8_are_escaped(tmp_path: Path) -> None:
    """A name that standard output cannot encode ends nothing: its bytes are written as escapes."""
    odd, file = white(tmp_path, os.fsdecode(b"caf\xe9.png")), white(tmp_path)
    with (tmp_path / "out").open("w", encoding="utf-8", errors="strict") as out:
        assert label_files([odd, file], model=brightness(), top=1, form="text", out=out, err=io.StringIO()) == 0
    first, second = (tmp_path / "out").read_text().splitlines()
    assert first == f"{tmp_path}/caf\\udce9.png: bright 1.000000"
    assert second == f"{file}: bright 1.000000"


def test_a_bad_file_is_told_and_the_rest_go_on(tmp_path: Path) -> None:
    """Missing, foreign, damaged and impossible names get a line each on stderr; the exit code is 1."""
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "cut.png").write_bytes(Path(white(tmp_path)).read_bytes()[:50])
    bad = [str(tmp_path / name) for name in ("none.jpg", "text.txt", "cut.png", "none/")] + ["nul\0.jpg", "long" * 2000]
    code, out, err = run([*bad, white(tmp_path)])
    assert (code, len(out), len(err)) == (1, 1, 6)
    assert err[0] == f"{bad[0]}: No such file or directory; check the name."
    assert "send JPEG, PNG, WebP, GIF or BMP" in err[1]
    assert "cut short" in err[2]


def test_each_line_is_out_before_the_next_name_comes(tmp_path: Path) -> None:
    """Someone who writes a name and waits for its label gets it: nothing is held back for a batch."""
    file, out = white(tmp_path), Flushed()

    def names() -> Iterator[str]:
        for number in range(3):
            assert out.lines_come(number)
            yield file

    assert label_files(names(), model=brightness(), top=1, form="text", out=out, err=io.StringIO()) == 0
    assert out.getvalue().count("\n") == 3


def test_names_that_come_fast_are_batches(tmp_path: Path) -> None:
    """Names that come while a batch runs are predicted together, and the lines keep the names' order."""
    files = [white(tmp_path, f"{n}.png") for n in range(40)]
    files[7] = str(tmp_path / "none.png")
    model, out = brightness(), io.StringIO()
    batches: list[int] = []
    predict, several_came = model.engine.predict, threading.Event()

    def names() -> Iterator[str]:
        for number, file in enumerate(files):
            if number == 14:
                several_came.set()
            yield file

    def counted(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        assert several_came.wait(60)
        batches.append(len(images))
        return predict(images)

    model.engine.predict = counted  # type: ignore[method-assign]  # counts, and predicts as before
    assert label_files(names(), model=model, top=1, form="text", out=out, err=io.StringIO()) == 1
    assert [line.partition(":")[0] for line in out.getvalue().splitlines()] == files[:7] + files[8:]
    assert sum(batches) == 39
    assert max(batches) > 1


def test_csv_has_a_row_per_label_and_one_per_error(tmp_path: Path) -> None:
    """With the columns of `p2p classify --csv`; errors are on standard error, too."""
    file = white(tmp_path, "a,b.png")
    code, out, err = run([file, str(tmp_path / "none.png")], form="csv")
    assert (code, len(err)) == (1, 1)
    assert list(csv.DictReader(out)) == [
        {"file": file, "rank": "1", "label": "bright", "score": "1.000000", "error": ""},
        {"file": file, "rank": "2", "label": "dark", "score": "0.000000", "error": ""},
        {
            "file": str(tmp_path / "none.png"),
            "rank": "",
            "label": "",
            "score": "",
            "error": "No such file or directory; check the name.",
        },
    ]


def test_an_error_of_the_source_of_names_is_raised(tmp_path: Path) -> None:
    """A standard input that cannot be read ends the run with its error, after the names before it."""
    out = io.StringIO()

    def names() -> Iterator[str]:
        yield white(tmp_path)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        label_files(names(), model=brightness(), top=1, form="text", out=out, err=io.StringIO())


def test_a_folder_means_its_images(tmp_path: Path) -> None:
    """A folder stands for the images in it and below it, linked folders too; others are counted and told."""
    (tmp_path / "photos" / "below").mkdir(parents=True)
    (tmp_path / "disk").mkdir()
    (tmp_path / "photos" / "link").symlink_to(tmp_path / "disk")
    (tmp_path / "photos" / "notes.txt").touch()
    files = [white(tmp_path / "photos", "b.jfif"), white(tmp_path / "photos" / "below")]
    white(tmp_path / "disk", "c.png")
    code, out, err = run([str(tmp_path / "photos")], top=1)
    assert code == 0
    assert [line.partition(":")[0] for line in out] == [*files, str(tmp_path / "photos" / "link" / "c.png")]
    assert err == [f"{tmp_path}/photos: 3 images; 1 file left out, whose names do not end as those of images do."]


class Flushed(io.StringIO):
    """A stream that tells when so many lines have been flushed."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._lines = 0

    def flush(self) -> None:
        with self._changed:
            self._lines = self.getvalue().count("\n")
            self._changed.notify_all()

    def lines_come(self, number: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._lines >= number, timeout=60)
