"""Filter expressions: what is written is read as it was meant, and what cannot be read is a FilterError."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.agent.api.formats.filter_expression import compile_filter
from registry.agent.api.formats.filter_fields import CHECK_SERVICE_NODE, HEALTH_CHECK, NODE_SERVICE
from registry.agent.api.formats.filter_parser import parse_filter
from registry.agent.api.formats.filter_tree import Both, Comparison, Either, Expression, FilterError, Not, Operator

NAMES = st.from_regex(r"\A[a-zA-Z][a-zA-Z0-9_]{0,5}\Z").filter(lambda name: name not in ("not", "is", "in", "empty"))
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters='`"\\\n\r'), max_size=8)
SELECTORS = st.builds(lambda first, rest: (first, *rest), NAMES, st.lists(NAMES | TEXTS, max_size=2))
COMPARISONS = st.builds(
    lambda selector, operator, value: Comparison(
        selector, operator, None if operator in (Operator.IS_EMPTY, Operator.IS_NOT_EMPTY) else value
    ),
    SELECTORS,
    st.sampled_from(Operator),
    TEXTS,
)
EXPRESSIONS = st.recursive(
    COMPARISONS, lambda inner: st.builds(Not, inner) | st.builds(Both, inner, inner) | st.builds(Either, inner, inner)
)
SIGNS = {
    Operator.EQUAL: "==",
    Operator.NOT_EQUAL: "!=",
    Operator.IN: "contains",
    Operator.NOT_IN: "not contains",
    Operator.MATCHES: "matches",
    Operator.NOT_MATCHES: "not matches",
    Operator.IS_EMPTY: "is empty",
    Operator.IS_NOT_EMPTY: "is not empty",
}


def written(expression: Expression) -> str:
    """An expression as text, with every part in parentheses."""
    if isinstance(expression, Comparison):
        first, *rest = expression.selector
        selector = first + "".join(f"[`{name}`]" for name in rest)
        value = "" if expression.value is None else f" `{expression.value}`"
        return f"{selector} {SIGNS[expression.operator]}{value}"
    if isinstance(expression, Not):
        return f"not ({written(expression.operand)})"
    word = "and" if isinstance(expression, Both) else "or"
    return f"({written(expression.left)}) {word} ({written(expression.right)})"


@given(EXPRESSIONS)
def test_what_is_written_is_read(expression: Expression) -> None:
    """Any expression, written down, is read back as it was."""
    assert parse_filter(written(expression)) == expression


@given(st.text(max_size=30) | st.lists(st.sampled_from(
    ["not", "and", "or", "(", ")", "==", "is", "empty", "in", "contains", "matches", "a", ".", "[", "]", '"', "`", "1",
     "-", " ", "Status", "Service.Tags"]), max_size=14).map("".join))  # fmt: skip
def test_any_text(text: str) -> None:
    """Any text is an expression or is refused with a sentence."""
    for fields in (HEALTH_CHECK, NODE_SERVICE, CHECK_SERVICE_NODE):
        with suppress(FilterError):
            assert compile_filter(text, fields)({}) in (True, False)


def test_nesting_has_an_end() -> None:
    """Thousands of parentheses are refused like any other text that cannot be read."""
    with pytest.raises(FilterError, match="nested too deeply"):
        parse_filter("(" * 5000 + "a == 1" + ")" * 5000)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a==1 or b==2 and c==3", Either(Comparison(("a",), Operator.EQUAL, "1"),
            Both(Comparison(("b",), Operator.EQUAL, "2"), Comparison(("c",), Operator.EQUAL, "3")))),
        ("not a==1 and b==2", Both(Not(Comparison(("a",), Operator.EQUAL, "1")),
            Comparison(("b",), Operator.EQUAL, "2"))),
        ("x.y not in a.b", Comparison(("a", "b"), Operator.NOT_IN, "x.y")),
        ("a == b.c", Comparison(("a",), Operator.EQUAL, "b.c")),
        ("a == -1.5", Comparison(("a",), Operator.EQUAL, "-1.5")),
        (r'a == "x\ty"', Comparison(("a",), Operator.EQUAL, "x\ty")),
        (r"a == `x\ty`", Comparison(("a",), Operator.EQUAL, r"x\ty")),
        ("not == 1", Comparison(("not",), Operator.EQUAL, "1")),
    ],
)  # fmt: skip
def test_precedence_and_values(text: str, tree: Expression) -> None:
    """ "and" binds closer than "or", "not" closer than both; values are selectors, numbers or strings."""
    assert parse_filter(text) == tree


@given(st.lists(st.text("abc", max_size=2), max_size=4), st.text("abc", min_size=1, max_size=2))
def test_lists_and_texts(tags: list[str], tag: str) -> None:
    """A list contains its elements, a text its parts, and "not" is always the opposite."""
    entry = {"Tags": tags, "Service": "".join(tags)}
    for field, holds in (("Tags", tag in tags), ("Service", tag in "".join(tags))):
        assert compile_filter(f"`{tag}` in {field}", NODE_SERVICE)(entry) == holds
        assert compile_filter(f"{field} not contains `{tag}`", NODE_SERVICE)(entry) != holds
        assert compile_filter(f"not {field} contains `{tag}`", NODE_SERVICE)(entry) != holds


@given(st.dictionaries(st.text("ab", min_size=1, max_size=2), st.text("xy", max_size=2), max_size=3))
def test_maps(meta: dict[str, str]) -> None:
    """A key is equal to its value, and one that is missing is unequal to every value."""
    entry = {"Meta": meta}
    for key in ("a", "b", "ab"):
        selector = f"Meta[{json.dumps(key)}]"
        for value in ("x", ""):
            assert compile_filter(f"{selector} == `{value}`", NODE_SERVICE)(entry) == (meta.get(key) == value)
            assert compile_filter(f"{selector} != `{value}`", NODE_SERVICE)(entry) == (meta.get(key) != value)
        assert compile_filter(f"{key} in Meta", NODE_SERVICE)(entry) == (key in meta)
    assert compile_filter("Meta is empty", NODE_SERVICE)(entry) == (not meta)


@given(st.lists(st.sampled_from(["passing", "critical"]), max_size=3))
def test_any_element_of_a_list(statuses: list[str]) -> None:
    """A selector that passes through a list holds if it does for one element, also for "!="."""
    entry = {"Checks": [{"Status": status} for status in statuses]}
    assert compile_filter("Checks.Status == passing", CHECK_SERVICE_NODE)(entry) == ("passing" in statuses)
    assert compile_filter("Checks.Status != passing", CHECK_SERVICE_NODE)(entry) == ("critical" in statuses)


def test_a_field_that_an_entry_lacks_is_empty() -> None:
    """Texts are empty, numbers zero and booleans false where Consul leaves the field out."""
    for expression in ("Kind == ``", "Port == 0", "EnableTagOverride == false", "Tags is empty", "Meta is empty",
                       "Proxy.Expose.Paths is empty", "Weights.Passing == 0"):  # fmt: skip
        assert compile_filter(expression, NODE_SERVICE)({})
