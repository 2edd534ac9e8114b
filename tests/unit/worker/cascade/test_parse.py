"""What a cascade's file means, and the sentence for each thing in it that cannot be meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cascade.definition import Answer, Boxes, Condition, Definition
from worker.cascade.parse import parse_cascade
from worker.errors import ModelError

PETS = """
[steps.exact]
service = "exact-pets"
when = { step = "quick", below = 0.8 }

[steps.quick]
model = "models/quick"
labels = { tabby = "cat", "Egyptian cat" = "cat" }
other = "no pet"
"""

BOXES = """
[steps.find]
service = "finder"
boxes = { units = "pixels", least_score = 0.3 }

[steps.name]
service = "namer"
crop = "find"
"""


def parsed(text: str) -> Definition:
    return parse_cascade(text, folder=Path("/models"), service="pets")


def test_steps_stand_after_those_that_they_need() -> None:
    """The file's order does not matter, and without an answer that of the last step that ran counts."""
    cascade = parsed(PETS)
    assert [step.name for step in cascade.steps] == ["quick", "exact"]
    quick, exact = cascade.steps
    assert (quick.model, quick.service, quick.other) == (Path("/models/models/quick"), None, "no pet")
    assert exact.when == (Condition("quick", below=0.8, if_failed=True),)
    assert cascade.answer == Answer("first", ("exact", "quick"))
    assert cascade.services == ("exact-pets",)


def test_a_step_crops_by_another_ones_boxes() -> None:
    """A step with boxes is no part of the answer, and the one that crops by it needs it."""
    cascade = parsed(BOXES)
    assert cascade.step("find").boxes == Boxes(units="pixels", least_score=0.3)
    assert cascade.step("name").needs == ("find",)
    assert cascade.answer.steps == ("name",)


def test_boxes_may_be_those_of_a_model() -> None:
    """A step with boxes asks a model in this process or a service."""
    cascade = parsed(BOXES.replace('service = "finder"', 'model = "finder.py"'))
    assert cascade.step("find").model == Path("/models/finder.py")
    assert cascade.step("find").boxes == Boxes(units="pixels", least_score=0.3)
    assert cascade.services == ("namer",)


STEP = '[steps.a]\nservice = "a"\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[steps", "no TOML"),
        ("", "no steps"),
        ("steps = 3", "no steps"),
        ("[steps.a]\n", "needs either service"),
        ('[steps.a]\nservice = "a"\nmodel = "b"', "needs either service"),
        ('[steps.a]\nservice = 3', "service must be a text"),
        ('[steps.a]\nservice = "pets"', "which is the cascade itself"),
        ('[steps."a b"]\nservice = "a"', "letters, digits"),
        (STEP + "whem = {}", "the key whem, which means nothing; known are service"),
        (STEP + "time = 0", "time must be a number above 0"),
        (STEP + "time = nan", "time must be a number above 0"),
        (STEP + "top = 1001", "top must be a whole number from 1 to 1000"),
        ('[steps.a]\nmodel = "a"\ntop = 5', "top is how many labels a service is asked for"),
        (STEP + "top = 5\nboxes = {}", "top is how many labels a service is asked for"),
        (STEP + "optional = 1", "optional must be true or false"),
        (STEP + "labels = { a = 1 }", "labels must be a table of names"),
        (STEP + "when = 3", "when must be a table"),
        (STEP + 'when = { step = "b", below = 0.5 }', "needs the step b, and there is none"),
        (STEP + 'when = { step = "a", below = 0.5 }', "in a circle: a needs a"),
        (STEP + "when = { below = 0.5 }", "needs step, and one of below"),
        (STEP + 'when = { step = "a", below = 0.5, labels = ["x"] }', "needs step, and one of below"),
        (STEP + 'when = { step = "a", below = 2 }', "at most 1"),
        (STEP + 'when = { step = "a", labels = [] }', "labels must be a list of labels"),
        (STEP + "boxes = { units = \"metres\" }", "units must be one of fraction, pixels"),
        (STEP + "boxes = { least_score = 2 }", "least_score must be from 0 to 1"),
        (STEP + 'other = "x"\nboxes = {}', "boxes, which have no labels"),
        ('[steps.a]\nmodel = "m"\nboxes = {}', "Step a changes nothing"),
        (STEP + '[steps.b]\nservice = "b"\ncrop = "a"', "which has no boxes"),
        (BOXES + 'when = { step = "find", below = 0.5 }', "which gives boxes"),
        (BOXES + '[answer]\nfirst = ["find"]', "which gives boxes"),
        (STEP + "[answer]\n", "needs one of first, average, vote"),
        (STEP + '[answer]\nfirst = ["a"]\nvote = ["a"]', "needs one of first, average, vote"),
        (STEP + '[answer]\nfirst = "a"', "must be a list of names"),
        (STEP + '[answer]\nfirst = ["b"]', "names the step b, and there is none; there is a"),
        (STEP + '[answer]\nvote = ["a", "a"]', "names a step twice"),
        (STEP + '[answer]\nvote = ["a"]\nweights = [1]', "weights are those of an average"),
        (STEP + '[answer]\naverage = ["a"]\nweights = [1, 2]', "a list of 1 numbers"),
        (STEP + '[answer]\naverage = ["a"]\nweights = [-1]', "a weight must be a number above 0"),
        (STEP + '[steps.b]\nservice = "b"\n[answer]\nfirst = ["a"]', "Step b changes nothing"),
        (
            '[steps.a]\nservice = "a"\nwhen = { step = "b", below = 0.5 }\n'
            '[steps.b]\nservice = "b"\nwhen = { step = "a", below = 0.5 }',
            "in a circle",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_in_a_sentence(text: str, says: str) -> None:
    """Each fault of a file has a sentence that names it."""
    with pytest.raises(ModelError, match=says):
        parsed(text)


@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from([*PETS.splitlines(), *BOXES.splitlines(), "[answer]"])).map("\n".join)
)
def test_any_text_is_a_cascade_or_refused(text: str) -> None:
    """No text raises anything but ModelError, and in every cascade each step stands after those that it needs."""
    try:
        cascade = parsed(text)
    except ModelError:
        return
    known: set[str] = set()
    for step in cascade.steps:
        assert set(step.needs) <= known
        known.add(step.name)
    assert set(cascade.answer.steps) <= known
