"""The conditions on which a promotion is given up: read, and judged by what two sides have counted."""

from __future__ import annotations

from collections import Counter

import pytest

from registry.rollout.abort_conditions import ENOUGH_REQUESTS, conditions, reason_to_abort
from registry.runtime.errors import SettingsError
from registry.worker_figures.request_counts import RequestCounts


def stats(requests: int = 1000, errors: int = 0, *, within_s: float = 0.1, compared: int = 0, agreed: int = 0):
    buckets = Counter({within_s: requests, float("inf"): requests})
    return RequestCounts(requests, errors, buckets, compared=compared, agreed=agreed)


@pytest.mark.parametrize(
    ("text", "version", "others", "clause"),
    [
        ("errors>1%", stats(errors=10), stats(), ""),
        ("errors>1%", stats(errors=11), stats(), "errors 1.1 % is > 1%"),
        ("errors>2x", stats(errors=30), stats(errors=15), ""),
        ("errors>2x", stats(errors=31), stats(errors=15), "errors 3.1 % beside 1.5 % is > 2x"),
        ("errors>2x", stats(errors=31), stats(requests=0), ""),
        ("p99>2x", stats(within_s=0.3), stats(within_s=0.1), "p99 297 ms beside 99 ms is > 2x"),
        ("p99>2x", stats(within_s=0.2), stats(within_s=0.1), ""),
        ("p99 > 250ms", stats(within_s=0.3), stats(requests=0), "p99 297 ms is > 250ms"),
        ("p50>1s", stats(within_s=0.3), stats(), ""),
        ("agreement<95%", stats(compared=100, agreed=94), stats(), "agreement 94 % is < 95%"),
        ("agreement<95%", stats(compared=0), stats(), ""),
        ("p99>5s|errors>1%", stats(errors=11), stats(), "errors 1.1 % is > 1%"),
        ("", stats(errors=1000), stats(), ""),
        ("errors>1%|p99>2x", stats(requests=0), stats(), ""),
    ],
)
def test_conditions(text: str, version: RequestCounts, others: RequestCounts, clause: str) -> None:
    assert reason_to_abort(conditions(text), version, others, step_ended=True) == clause


def test_within_a_step_few_requests_prove_nothing() -> None:
    few, enough = stats(ENOUGH_REQUESTS - 1, errors=5), stats(ENOUGH_REQUESTS, errors=5)
    wanted = conditions("errors>1%")
    assert reason_to_abort(wanted, few, stats(), step_ended=False) == ""
    assert reason_to_abort(wanted, few, stats(), step_ended=True) != ""
    assert reason_to_abort(wanted, enough, stats(), step_ended=False) != ""


@pytest.mark.parametrize("text", ["errors", "errors>1", "errors>1ms", "errors<1%", "agreement>5%", "p98>2x", "p99>2x|"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is no condition: write errors>1%"):
        conditions(text)
