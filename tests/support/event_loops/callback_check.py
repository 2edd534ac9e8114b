"""A pytest plugin: a test fails if a callback of an event loop in this process computes for too long meanwhile."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.support.event_loops.slow_callbacks import slow_callbacks

LONGEST_S = 0.04
"""Processor time, without garbage collections.

On an idle machine 20 ms hold. The same work takes up to twice its processor time beside other load.
"""

FIXTURES_S = 0.15
"""The same while fixtures are set up and torn down: they start processes, and a fork copies page tables."""

MARKER = "long_callbacks(reason): this test's own callbacks may compute for long"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


def _checked(item: pytest.Item, longest_s: float) -> Generator[None, object, object]:
    marker = item.get_closest_marker("long_callbacks")
    if marker is not None:
        assert marker.kwargs.get("reason"), "long_callbacks needs a reason"
        return (yield)
    with slow_callbacks(longest_s, collections=False) as found:
        outcome = yield
    assert not found, f"callbacks held an event loop for more than {longest_s * 1000:g} ms:\n" + "\n".join(found)
    return outcome


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from _checked(item, FIXTURES_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from _checked(item, LONGEST_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from _checked(item, FIXTURES_S))
