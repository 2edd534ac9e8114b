"""Which labels a condition may name, by the first answers of the steps."""

from __future__ import annotations

import numpy as np
import pytest

from worker.cascade.definition import Answer, Condition, Definition, Step
from worker.cascade.schedule import Outcome
from worker.cascade.served import check_labels
from worker.errors import ModelError

MERGED = Step("a", service="a", labels={"tabby": "cat", "tiger cat": "cat"}, top=5)
ASKING = Step("b", service="b", when=(Condition("a", labels=frozenset({"owl"})),))
CASCADE = Definition((MERGED, ASKING), Answer("first", ("b", "a")))


def answered(*labels: str, complete: bool) -> dict[str, Outcome]:
    """The first answer of step a."""
    return {"a": Outcome("ran", labels, np.ones(len(labels), np.float32), complete=complete)}


def test_a_label_that_was_not_among_the_best_may_come_later() -> None:
    """Five labels of which two are merged are four names, and the service may still have others."""
    check_labels(CASCADE, answered("cat", "dog", "fox", "hen", complete=False))


def test_a_label_that_nobody_gives_is_refused() -> None:
    """The sentence names the step, the label, and those that there are."""
    with pytest.raises(ModelError, match=r"Step b: when asks for the label owl, which a does not give; it gives cat\."):
        check_labels(CASCADE, answered("cat", complete=True))
    check_labels(CASCADE, answered("cat", "owl", complete=True))
