"""Documents lead somewhere: links, anchors, `python -m` commands and paths in backticks all exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.documents import anchors, broken, documents, links

ROOT = Path(__file__).parents[3]
DOCUMENTS = documents(ROOT)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_all_that_a_document_names_exists(document):
    """A renamed file, heading or module must not leave a document behind that names it."""
    faults = broken(document, root=ROOT)
    assert not faults, "\n" + "\n".join(map(str, faults))


def test_every_document_is_in_an_index():
    """Whoever opens docs/README.md, or decisions/README.md for decisions, finds each document there."""
    folder = ROOT / "docs"
    indexed = {
        (index.parent / target.partition("#")[0]).resolve()
        for index in (folder / "README.md", folder / "decisions" / "README.md")
        for _, target in links(index)
    }
    missing = [path for path in documents(folder) if path.resolve() not in indexed and path != folder / "README.md"]
    assert not missing, "In no index: " + ", ".join(path.relative_to(ROOT).as_posix() for path in missing)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a](there.md)", []),
        ("[a](there.md#a-heading-with-code)", []),
        ("[a](#own)\n\n# Own", []),
        ("[a](https://example.org/none.md) `[b](none.md)`", []),
        ("```\n[a](none.md)\n```\n\n    [b](none.md)", []),
        ("`python -m benchmarks.one`, `python -m http.server`, `worker/here.py`, `worker/*.py`, `worker/`", []),
        ("\n[a](none.md)", ["page.md:2: the link to none.md leads to no file"]),
        ("![a](none.svg)", ["page.md:1: the link to none.svg leads to no file"]),
        ("[a](there.md#none)", ["page.md:1: the link to there.md#none leads to no heading of there.md"]),
        ("[a `b` c](none.md)", ["page.md:1: the link to none.md leads to no file"]),
        ("    python -m benchmarks.none", ["page.md:1: python -m benchmarks.none: there is no such module"]),
        ("`python -m worker`", ["page.md:1: python -m worker: there is no such module"]),
        ("`worker/gone.py`", ["page.md:1: `worker/gone.py`: there is no such path"]),
        ("`web/gone.py`", ["page.md:1: `web/gone.py`: there is no such path"]),
    ],
)
def test_what_the_checker_finds(tmp_path, text, found):
    """It names document and line of what is missing, and leaves alone what is code or on other sites."""
    for name in ("benchmarks/one.py", "worker/here.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "there.md").write_text("# A heading: with `code`\n")
    page = tmp_path / "page.md"
    page.write_text(text)
    assert [str(fault) for fault in broken(page, root=tmp_path)] == found


def test_anchors_are_those_of_github(tmp_path):
    """Punctuation goes, blanks become dashes, and a heading that comes again gets a number."""
    page = tmp_path / "page.md"
    page.write_text("# What's `new`, and why?\n## Same\n## Same\n### [Link](x.md) text\n")
    assert anchors(page) == {"whats-new-and-why", "same", "same-1", "link-text"}
