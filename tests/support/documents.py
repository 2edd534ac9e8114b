"""The Markdown documents of the repository, and which of their links, anchors, commands and paths lead nowhere."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote

PACKAGES = ("benchmarks", "deploy", "docs", "p2pclient", "registry", "tests", "worker")
"""The folders at the top of the repository that documents name paths and modules of."""

_NOT_OURS = {"build", "dist", "node_modules"}
_FENCE = re.compile(r"^\s*(```|~~~)")
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|\bsrc=\"([^\"]+)\"")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_MODULE = re.compile(rf"python3? -m ((?:{'|'.join(PACKAGES)})(?:\.\w+)*)")
_PATH = re.compile(rf"(?:\./)?((?:{'|'.join(PACKAGES)})/[\w./*-]+)|((?:[\w-]+/)+[\w-]+\.py)")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")


@dataclass(frozen=True, slots=True)
class Broken:
    """Something that a document names and that does not exist."""

    document: str
    line: int
    what: str

    def __str__(self) -> str:
        """As an editor takes it: document, line, what is wrong."""
        return f"{self.document}:{self.line}: {self.what}"


def documents(root: Path) -> list[Path]:
    """All Markdown files below `root`, without those of environments, builds and hidden folders."""
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _NOT_OURS]
        found += [Path(folder, name) for name in files if name.endswith(".md")]
    return sorted(found)


def broken(document: Path, *, root: Path) -> list[Broken]:
    """The links, modules and paths in `document` that lead nowhere in the repository at `root`."""
    name = document.relative_to(root).as_posix()
    return [Broken(name, number, what) for number, what in _faults(document, root)]


def links(document: Path) -> Iterator[tuple[int, str]]:
    """The targets of a document's links outside code, with their lines, those to other sites left out."""
    for number, line in _prose(document.read_text("utf-8")):
        for match in _LINK.finditer(_CODE.sub("", line)):
            target = match[1] or match[2]
            if not _ELSEWHERE.match(target):
                yield number, unquote(target)


@cache
def anchors(document: Path) -> frozenset[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    for _, line in _prose(document.read_text("utf-8")):
        if heading := _HEADING.match(line):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            found[slug] = found.get(slug, -1) + 1
    return frozenset(found) | {f"{slug}-{n}" for slug, times in found.items() for n in range(1, times + 1)}


def _faults(document: Path, root: Path) -> Iterator[tuple[int, str]]:
    for number, target in links(document):
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        if not file.exists():
            yield number, f"the link to {target} leads to no file"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            yield number, f"the link to {target} leads to no heading of {file.name}"
    for number, line in enumerate(document.read_text("utf-8").splitlines(), start=1):
        for module in _MODULE.findall(line):
            if not _runs(module, root):
                yield number, f"python -m {module}: there is no such module"
        for code in _CODE.findall(line):
            if (path := _PATH.fullmatch(code.strip())) and not _is_there(path[1] or path[2], root):
                yield number, f"`{code}`: there is no such path"


def _prose(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a document with their numbers, without its blocks of code."""
    fenced = False
    for number, line in enumerate(text.splitlines(), start=1):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and not line.startswith("    "):
            yield number, line


def _runs(module: str, root: Path) -> bool:
    path = root.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def _is_there(path: str, root: Path) -> bool:
    return any(root.glob(path.rstrip("/"))) if "*" in path else (root / path).exists()
