"""True labels from a table or from folders."""

from __future__ import annotations

import pytest

from p2pclient.cli.evaluation.ground_truth import read_truth


def test_a_table_names_files_in_three_ways(tmp_path):
    """As written, seen from the table's folder, or by a name that no other row has."""
    table = tmp_path / "labels.csv"
    table.write_text('\ufeffFile,Label,Source\nx/a.jpg,cat,web\ny/a.jpg,dog,\n\nz/b.jpg,"lynx, wild",\n')
    truth = read_truth(str(table))
    assert truth.label("x/a.jpg") == "cat"
    assert truth.label(f"{tmp_path}/y/../y/a.jpg") == "dog"
    assert truth.label("elsewhere/b.jpg") == "lynx, wild"
    assert truth.label("elsewhere/a.jpg") is None  # two rows have this name


def test_a_folder_is_a_label(tmp_path, monkeypatch):
    """The nearest folder's name, for a file of the folder where one is, too."""
    monkeypatch.chdir(tmp_path)
    truth = read_truth("by-folder")
    assert truth.label("test/great_grey_owl/1.jpg") == "great_grey_owl"
    assert truth.label("1.jpg") == tmp_path.name


def test_a_table_that_is_none_is_told(tmp_path):
    """Bytes that are no text are told with the file's name, not as a traceback."""
    table = tmp_path / "cat.jpg"
    table.write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(ValueError, match=r"cat\.jpg is no CSV in UTF-8"):
        read_truth(str(table))
