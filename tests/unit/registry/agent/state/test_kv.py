"""Keys and values against a plain dictionary."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from registry.agent.state.index import ChangeIndex
from registry.agent.state.kv import KeyValueStore, grouped

KEYS = st.text("ab/", min_size=1, max_size=4)
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "delete", "delete_under"]), KEYS, st.binary(max_size=1)), max_size=20
)


@given(STEPS, KEYS)
def test_it_is_a_dictionary_with_indexes(steps: list[tuple[str, str, bytes]], prefix: str) -> None:
    """After any steps it holds what a dictionary would, and a prefix's index grows with each change under it."""
    keys, plain = KeyValueStore(ChangeIndex()), dict[str, bytes]()
    for verb, key, value in steps:
        before = {k: v for k, v in plain.items() if k.startswith(prefix)}
        index = keys.index_under(prefix)
        if verb == "put":
            assert keys.put(key, value)
            plain[key] = value
        elif verb == "delete":
            assert keys.delete(key)
            plain.pop(key, None)
        else:
            keys.delete_under(key)
            plain = {k: v for k, v in plain.items() if not k.startswith(key)}
        after = {k: v for k, v in plain.items() if k.startswith(prefix)}
        assert {pair.key: pair.value for pair in keys.under("")} == plain
        assert [pair.key for pair in keys.under(prefix)] == sorted(after)
        assert before == after or keys.index_under(prefix) > index


@given(st.lists(KEYS), st.sampled_from(["", "/", "a/"]))
def test_folders(names: list[str], prefix: str) -> None:
    """Every key is in exactly one group, itself or the folder after the prefix, and each group comes once."""
    names = [name for name in names if name.startswith(prefix)]
    groups = grouped(names, prefix=prefix, separator="/")
    assert len(groups) == len(set(groups))
    for name in names:
        folders = [group for group in groups if len(group) > len(prefix) and group.endswith("/")]
        assert (name in groups) != any(name.startswith(folder) and name != folder for folder in folders)


def test_marks_are_bounded() -> None:
    """Keys written and removed without end must not fill the memory."""
    keys = KeyValueStore(ChangeIndex())
    for number in range(10_050):
        keys.put(str(number), b"")
        keys.delete(str(number))
    assert len(keys._removed_at) == 10_000
