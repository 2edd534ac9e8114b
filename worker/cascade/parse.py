"""The TOML text of a cascade -> its definition; everything that cannot be meant is refused in a sentence. Pure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from graphlib import CycleError, TopologicalSorter
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from worker.cascade.definition import (
    ALL_LABELS,
    LEAST_SCORE,
    Answer,
    Boxes,
    Combination,
    Condition,
    Definition,
    Step,
    Units,
)
from worker.errors import ModelError

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""A step's name: it stands in a header, in which other characters mean something."""

_STEP_KEYS = (
    "service", "model", "when", "labels", "other", "boxes", "crop", "optional", "time", "top",
)  # fmt: skip
_CONDITION_KEYS = ("step", "below", "labels", "not_labels", "if_failed")
_BOXES_KEYS = ("boxes", "scores", "units", "least_score")


def parse_cascade(text: str, *, folder: Path, service: str) -> Definition:
    """The definition that a TOML file in `folder` holds, for the cascade that is served as `service`.

    Raises ModelError, whose sentence names the step and the key at fault.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ModelError(f"The cascade is no TOML: {error}.") from None
    _known(document, ("steps", "answer"), where="The cascade")
    tables = document.get("steps")
    if not isinstance(tables, dict) or not tables:
        raise ModelError("The cascade has no steps: write a table [steps.NAME] for each.")
    steps = {name: _step(name, table, folder=folder) for name, table in tables.items()}
    itself = next((step.name for step in steps.values() if step.service == service), None)
    if itself is not None:
        raise ModelError(f"Step {itself} asks {service}, which is the cascade itself.")
    ordered = _ordered(steps)
    answer = _answer(document.get("answer"), ordered)
    _all_used(ordered, answer)
    return Definition(ordered, answer)


def _step(name: str, table: Any, *, folder: Path) -> Step:
    where = f"Step {name}"
    if not _NAME.fullmatch(name):
        raise ModelError(f"{where}: a step's name is made of letters, digits, - and _, and not longer than 64.")
    _known(table, _STEP_KEYS, where=where)
    service, model = _text(table, "service", where=where), _text(table, "model", where=where)
    if (service is None) == (model is None):
        raise ModelError(f"{where} needs either service, the name of one, or model, the path of one.")
    boxes = _boxes(table["boxes"], where=where) if "boxes" in table else None
    renamed = _renamed(table.get("labels", {}), where=where)
    other = _text(table, "other", where=where)
    if boxes is not None and (renamed or other):
        raise ModelError(f"{where} answers with boxes, which have no labels to rename.")
    if "top" in table and (service is None or boxes is not None):
        raise ModelError(f"{where}: top is how many labels a service is asked for; leave it out here.")
    top = table.get("top", ALL_LABELS)
    if type(top) is not int or not 1 <= top <= ALL_LABELS:
        raise ModelError(f"{where}: top must be a whole number from 1 to {ALL_LABELS}.")
    return Step(
        name=name,
        service=service,
        model=None if model is None else folder / model,
        when=_conditions(table.get("when", ()), where=where),
        labels=renamed,
        other=other,
        boxes=boxes,
        crop=_text(table, "crop", where=where),
        optional=_truth(table, "optional", where=where),
        time=_positive(table.get("time", 1.0), f"{where}: time"),
        top=top,
    )


def _conditions(value: Any, *, where: str) -> tuple[Condition, ...]:
    """One table, or a list of those that must all hold."""
    tables = [value] if isinstance(value, dict) else value
    if not isinstance(tables, list | tuple):
        raise ModelError(f'{where}: when must be a table or a list of them: {{ step = "quick", below = 0.8 }}.')
    return tuple(_condition(table, where=f"{where}: when") for table in tables)


def _condition(table: Any, *, where: str) -> Condition:
    _known(table, _CONDITION_KEYS, where=where)
    step = _text(table, "step", where=where)
    tests = [key for key in ("below", "labels", "not_labels") if key in table]
    if step is None or len(tests) != 1:
        raise ModelError(f"{where} needs step, and one of below, labels and not_labels.")
    below = None
    if "below" in table:
        below = _positive(table["below"], f"{where}: below")
        if below > 1:
            raise ModelError(f"{where}: below must be a score, so at most 1.")
    failed = _truth(table, "if_failed", where=where, default=below is not None)
    return Condition(step, below, _names(table, "labels", where), _names(table, "not_labels", where), failed)


def _boxes(table: Any, *, where: str) -> Boxes:
    where = f"{where}: boxes"
    _known(table, _BOXES_KEYS, where=where)
    units = table.get("units", "fraction")
    if units not in get_args(Units):
        raise ModelError(f"{where}: units must be one of {', '.join(get_args(Units))}.")
    least = table.get("least_score", LEAST_SCORE)
    if type(least) not in (int, float) or not 0 <= least <= 1:
        raise ModelError(f"{where}: least_score must be from 0 to 1.")
    names = {key: _text(table, key, where=where) or key for key in ("boxes", "scores")}
    return Boxes(names["boxes"], names["scores"], units, float(least))


def _answer(table: Any, steps: tuple[Step, ...]) -> Answer:
    """The answer that the file asks for; without one it is that of the last step that ran."""
    if table is None:
        return Answer("first", tuple(step.name for step in reversed(steps) if step.boxes is None))
    where = "The answer"
    _known(table, (*get_args(Combination), "weights"), where=where)
    given = [combination for combination in get_args(Combination) if combination in table]
    if len(given) != 1:
        raise ModelError(f"{where} needs one of {', '.join(get_args(Combination))}: a list of steps.")
    names = table[given[0]]
    known = {step.name: step for step in steps}
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ModelError(f"{where}: {given[0]} must be a list of names of steps.")
    for name in names:
        if name not in known:
            raise ModelError(f"{where} names the step {name}, and there is none; there is {', '.join(known)}.")
        if known[name].boxes is not None:
            raise ModelError(f"{where} names the step {name}, which gives boxes: name one that gives labels.")
    if len(set(names)) < len(names):
        raise ModelError(f"{where} names a step twice.")
    weights = table.get("weights", [1.0] * len(names))
    if "weights" in table and given[0] != "average":
        raise ModelError(f"{where}: weights are those of an average.")
    if not isinstance(weights, list) or len(weights) != len(names):
        raise ModelError(f"{where}: weights must be a list of {len(names)} numbers, one for each step.")
    return Answer(given[0], tuple(names), tuple(_positive(weight, f"{where}: a weight") for weight in weights))


def _ordered(steps: Mapping[str, Step]) -> tuple[Step, ...]:
    """Each step after those that it needs."""
    for step in steps.values():
        for needed in step.needs:
            if needed not in steps:
                raise ModelError(f"Step {step.name} needs the step {needed}, and there is none.")
        for condition in step.when:
            if steps[condition.step].boxes is not None:
                raise ModelError(f"Step {step.name}: when asks for the labels of {condition.step}, which gives boxes.")
        if step.crop is not None and steps[step.crop].boxes is None:
            raise ModelError(f"Step {step.name} is to crop by {step.crop}, which has no boxes: give it boxes = {{}}.")
    try:
        order = TopologicalSorter({name: step.needs for name, step in steps.items()}).static_order()
        return tuple(steps[name] for name in order)
    except CycleError as error:
        raise ModelError(f"The steps need each other in a circle: {' needs '.join(error.args[1][::-1])}.") from None


def _all_used(steps: tuple[Step, ...], answer: Answer) -> None:
    """Raise ModelError for a step that nothing depends on."""
    used = set(answer.steps)
    for step in reversed(steps):
        if step.name not in used:
            raise ModelError(f"Step {step.name} changes nothing: neither the answer nor another step names it.")
        used.update(step.needs)


def _renamed(table: Any, *, where: str) -> Mapping[str, str]:
    if not isinstance(table, dict) or not all(isinstance(name, str) and name for name in table.values()):
        raise ModelError(f'{where}: labels must be a table of names, such as {{ tabby = "cat" }}.')
    return MappingProxyType(dict(table))


def _known(table: Any, keys: Collection[str], *, where: str) -> None:
    """Raise ModelError for what is no table, or for a key that means nothing."""
    if not isinstance(table, dict):
        raise ModelError(f"{where} must be a table.")
    unknown = next((key for key in table if key not in keys), None)
    if unknown is not None:
        raise ModelError(f"{where} has the key {unknown}, which means nothing; known are {', '.join(keys)}.")


def _text(table: Mapping[str, Any], key: str, *, where: str) -> str | None:
    value = table.get(key)
    if value is not None and not (isinstance(value, str) and value):
        raise ModelError(f"{where}: {key} must be a text.")
    return value


def _truth(table: Mapping[str, Any], key: str, *, where: str, default: bool = False) -> bool:
    value = table.get(key, default)
    if not isinstance(value, bool):
        raise ModelError(f"{where}: {key} must be true or false.")
    return value


def _names(table: Mapping[str, Any], key: str, where: str) -> frozenset[str] | None:
    if key not in table:
        return None
    names = table[key]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ModelError(f"{where}: {key} must be a list of labels.")
    return frozenset(names)


def _positive(value: Any, where: str) -> float:
    if type(value) not in (int, float) or not isfinite(value) or value <= 0:
        raise ModelError(f"{where} must be a number above 0.")
    return float(value)
