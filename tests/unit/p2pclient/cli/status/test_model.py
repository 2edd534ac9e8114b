"""What `p2p status` reads of a worker's pages, whatever they hold."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pclient.cli.status.model import Load, WorkerStatus, load_of, model_of
from p2pclient.types import Worker

# An example has no time limit: the machine may be busy with something else.
in_moderation = settings(max_examples=60, deadline=None)


@in_moderation
@given(body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_pages_of_other_servers_say_nothing(body):
    """Whatever another server answers is no error, and no model or load either."""
    assert model_of(body) is None
    assert load_of(body, model=None, now_s=0.0) is None


@given(flight=st.integers(0, 500), queue=st.integers(0, 500), answers=st.lists(st.integers(0, 10**6), max_size=4))
def test_load_is_read_from_metrics(flight, queue, answers):
    """Answers of every status are added up; the request for the page itself is not counted as in flight."""
    lines = [f'p2p_worker_requests_total{{status="{n}"}} {count}.0' for n, count in enumerate(answers)]
    lines += [f"p2p_worker_requests_in_flight {flight + 1}.0", f"p2p_worker_queue_depth {queue}.0", "nonsense NaN x"]
    assert load_of("\n".join(lines).encode(), model="a", now_s=5.0) == Load(flight, queue, sum(answers), 5.0)


PAGE = b"""# HELP p2p_worker_requests_total Requests answered.
p2p_worker_requests_total{model="cats",protocol="article",status="200"} 20.0
p2p_worker_requests_total{model="cats",protocol="tfserving",status="503"} 2.0
p2p_worker_requests_total{model="dogs",protocol="article",status="200"} 300.0
p2p_worker_requests_total{model="",protocol="",status="200"} 4000.0
p2p_worker_requests_in_flight 1.0
p2p_worker_queue_depth{model="cats"} 5.0
p2p_worker_queue_depth{model="dogs"} 60.0
"""


@pytest.mark.parametrize(("model", "queue", "answers"), [("cats", 5, 22), ("dogs", 60, 300), (None, 65, 322)])
def test_load_is_one_models(model, queue, answers):
    """Other models of the same process, health checks and pages like this one are not counted."""
    assert load_of(PAGE, model=model, now_s=1.0) == Load(0, queue, answers, 1.0)


def test_only_predictions_are_answers():
    """What asks for the description of a model, and what is refused, counts as a request for it, but is none."""
    stages = b"""p2p_worker_stage_seconds_count{model="cats",stage="encode"} 19.0
p2p_worker_stage_seconds_count{model="cats",stage="predict"} 7.0
p2p_worker_stage_seconds_count{model="dogs",stage="encode"} 290.0
"""
    assert load_of(PAGE + stages, model="cats", now_s=1.0) == Load(0, 5, 19, 1.0)
    assert load_of(PAGE + stages, model=None, now_s=1.0) == Load(0, 65, 309, 1.0)


def test_a_page_that_is_nested_too_deeply_is_another_servers():
    """JSON that the reader cannot follow is no error."""
    assert model_of(b"[" * 200_000) is None


def test_rates_are_answers_over_time():
    """20 answers more in 2 s are 10 per second, none are 0; before the second round there is no rate."""
    worker = Worker("classify", "w", "h", 1)
    before = Load(0, 0, 100, 10.0)
    assert WorkerStatus(worker, load=Load(0, 0, 120, 12.0), before=before).per_s == 10.0
    assert WorkerStatus(worker, load=Load(0, 0, 100, 12.0), before=before).per_s == 0.0
    assert WorkerStatus(worker, load=before).per_s is None


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "1e400", "-5", "x"])
def test_a_sample_that_is_no_count_counts_nothing(value):
    """Prometheus knows infinity and NaN: a page that holds them is no error."""
    page = f"p2p_worker_requests_in_flight 3.0\np2p_worker_queue_depth {value}\np2p_worker_requests_total {value}\n"
    assert load_of(page.encode(), model=None, now_s=1.0) == Load(2, 0, 0, 1.0)
