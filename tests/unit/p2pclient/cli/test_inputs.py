"""Where the names of images come from: files, folders, patterns and standard input."""

from __future__ import annotations

import os
from pathlib import Path

from p2pclient.cli.inputs import files, images_in, lines


async def test_lines_of_a_pipe():
    """Lines come without their ends, blank ones and the missing last end included, cut wherever it was cut."""
    read, write = os.pipe()
    try:
        got = lines(read)
        os.write(write, b"a.jpg\nb")
        assert await anext(got) == "a.jpg"
        os.write(write, b".jpg\r\n\n  \n\xff.jpg")
        assert await anext(got) == "b.jpg"
        os.close(write)
        assert [line async for line in got] == [os.fsdecode(b"\xff.jpg")]
    finally:
        os.close(read)


async def test_names_become_files(tmp_path):
    """Files, folders and standard input may be mixed and keep their order; a name may mean nothing."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "x.jpg").mkdir()
    for name in ("b.png", "a.JPEG", "c.txt", "deep/d.gif"):
        (tmp_path / name).touch()
    images = [str(tmp_path / name) for name in ("a.JPEG", "b.png", "deep/d.gif")]
    assert images_in(str(tmp_path)) == images
    assert images_in("nowhere.jpg") == ["nowhere.jpg"]
    assert images_in(str(tmp_path / "x.jpg")) == [str(tmp_path / "x.jpg")]
    read, write = os.pipe()
    os.write(write, f"{tmp_path}\nlast.jpg\n".encode())
    os.close(write)
    try:
        assert [name async for name in files(["first.jpg", "-"], read)] == ["first.jpg", *images, "last.jpg"]
    finally:
        os.close(read)


async def test_print0_is_recognized():
    """The first separator that comes separates all names."""
    read, write = os.pipe()
    os.write(write, b"a.jpg\0two\nlines.jpg\0c.jpg")
    os.close(write)
    try:
        assert [line async for line in lines(read)] == ["a.jpg", "two\nlines.jpg", "c.jpg"]
    finally:
        os.close(read)


def test_linked_folders_are_searched(tmp_path):
    """A link to a folder counts as a folder of that name; a ring of links comes to an end."""
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    (tmp_path / "disk" / "dog").mkdir(parents=True)
    (tmp_path / "photos" / "cat" / "1.png").touch()
    (tmp_path / "disk" / "dog" / "2.jfif").touch()
    (tmp_path / "photos" / "dog").symlink_to("../disk/dog")
    (tmp_path / "photos" / "ring").symlink_to(".")
    (tmp_path / "photos" / "gone.png").symlink_to("nowhere")
    photos = tmp_path / "photos"
    assert images_in(str(photos)) == [str(photos / "cat" / "1.png"), str(photos / "dog" / "2.jfif")]


def test_images_that_workers_cannot_read_are_told(tmp_path):
    """A folder's other images are left out by name; files that are no images are passed over without a word."""
    for name in ("a.png", "b.TIFF", "c.heic", "notes.txt"):
        (tmp_path / name).touch()
    left_out = {}
    assert images_in(str(tmp_path), left_out.__setitem__) == [str(tmp_path / "a.png")]
    reason = "workers read JPEG, PNG, WebP, GIF and BMP"
    assert left_out == {str(tmp_path / "b.TIFF"): reason, str(tmp_path / "c.heic"): reason}


def test_folders_that_cannot_be_read_are_told(tmp_path, monkeypatch):
    """What is below them is left out with the reason, and the other images are found."""
    (tmp_path / "a.png").touch()
    (tmp_path / "closed").mkdir()
    iterdir = Path.iterdir

    def refuse(folder):
        if folder.name == "closed":
            raise PermissionError(13, "Permission denied", str(folder))
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    left_out = {}
    assert images_in(str(tmp_path), left_out.__setitem__) == [str(tmp_path / "a.png")]
    assert left_out == {str(tmp_path / "closed"): "Permission denied"}
