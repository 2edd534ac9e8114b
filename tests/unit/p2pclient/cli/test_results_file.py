"""The results file of a long run."""

from __future__ import annotations

import pytest

from p2pclient.cli.results_file import ForeignFile, ResultsFile

DONE = '{"file": "a.jpg", "labels": [["tabby", 0.6], ["lynx", 0.3]]}\n'


FAILED = '{"file": "b.jpg", "error": "no worker"}\n'


def test_what_is_held_and_what_is_not(tmp_path):
    """Labels are held, best first; failures are to be tried again, unless a later line has labels."""
    path = tmp_path / "r.jsonl"
    path.write_text(FAILED + DONE)
    with ResultsFile(str(path)) as results:
        assert results.held == {"a.jpg": ("tabby", "lynx")}
        results.append(DONE.replace("a.jpg", "b.jpg"))
    with ResultsFile(str(path)) as results:
        assert list(results.held) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("kept", range(1, len(DONE)))
def test_a_last_line_may_be_cut_off_anywhere(tmp_path, kept):
    """Wherever a run was cut off, the whole lines stay, the piece goes, and the next line stands alone."""
    path = tmp_path / "r.jsonl"
    path.write_text(DONE + DONE[:kept])
    with ResultsFile(str(path)) as results:
        assert list(results.held) == ["a.jpg"]
        results.append(FAILED)
    assert path.read_text() == DONE + FAILED


def test_one_run_at_a_time(tmp_path):
    """A file that another run is writing is refused; afterwards it may be opened again."""
    path = str(tmp_path / "r.jsonl")
    with ResultsFile(path), pytest.raises(ForeignFile, match="another run"), ResultsFile(path):
        pass
    with ResultsFile(path) as results:
        assert results.held == {}
