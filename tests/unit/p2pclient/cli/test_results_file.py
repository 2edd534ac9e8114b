"""The results file of a long run, and the table of true labels."""

from __future__ import annotations

import pytest

from p2pclient.cli.evaluation.ground_truth import read_truth
from p2pclient.cli.results_file import NotResults, Results

DONE = '{"file": "a.jpg", "labels": [["tabby", 0.6], ["lynx", 0.3]]}\n'
FAILED = '{"file": "b.jpg", "error": "no worker"}\n'


def test_what_is_held_and_what_is_not(tmp_path):
    """Labels are held, best first; failures are to be tried again, unless a later line has labels."""
    path = tmp_path / "r.jsonl"
    path.write_text(FAILED + DONE)
    with Results(str(path)) as results:
        assert results.held == {"a.jpg": ("tabby", "lynx")}
        results.append(DONE.replace("a.jpg", "b.jpg"))
    with Results(str(path)) as results:
        assert list(results.held) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("kept", range(1, len(DONE)))
def test_a_last_line_may_be_cut_off_anywhere(tmp_path, kept):
    """Wherever a run was cut off, the whole lines stay, the piece goes, and the next line stands alone."""
    path = tmp_path / "r.jsonl"
    path.write_text(DONE + DONE[:kept])
    with Results(str(path)) as results:
        assert list(results.held) == ["a.jpg"]
        results.append(FAILED)
    assert path.read_text() == DONE + FAILED


def test_one_run_at_a_time(tmp_path):
    """A file that another run is writing is refused; afterwards it may be opened again."""
    path = str(tmp_path / "r.jsonl")
    with Results(path), pytest.raises(NotResults, match="another run"), Results(path):
        pass
    with Results(path) as results:
        assert results.held == {}


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
