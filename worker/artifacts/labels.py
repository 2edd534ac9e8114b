"""A labels.txt -> the names of the classes: line n names the model's output n.

Some tools write the number of the class before each name ("0 cat", "1 dog"); it is no part of the name.
"""

from __future__ import annotations

from pathlib import Path

from worker.errors import ModelError


def read_labels(path: Path | None, *, classes: int) -> tuple[str, ...]:
    """Read one name a line, in UTF-8; without a file the names are the class numbers.

    Raises ModelError if there are not as many names as `classes`, or the file cannot be read.
    """
    if path is None:
        return tuple(str(number) for number in range(classes))
    names = read_names(path)
    if len(names) != classes:
        raise ModelError(
            f"{path} names {len(names)} classes but the model has {classes}: give it one line for each, in order."
        )
    return names


def read_names(path: Path) -> tuple[str, ...]:
    """The names in a file of labels. Raises ModelError if it cannot be read."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"The labels in {path} cannot be read ({error}); check --labels.") from error
    return _without_numbers(tuple(line.strip() for line in text.rstrip().splitlines()))


def _without_numbers(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names without their numbers, if every line has one and they count from 0."""
    parts = [name.split(maxsplit=1) for name in names]
    if all(len(part) == 2 and part[0] == str(number) for number, part in enumerate(parts)):
        return tuple(part[1] for part in parts)
    return names


def write_labels(folder: Path, names: tuple[str, ...]) -> None:
    """Write labels.txt into a model's folder, for `read_labels`."""
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")
