"""Where the names of images come from: files, folders, patterns and standard input."""

from __future__ import annotations

import os

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
