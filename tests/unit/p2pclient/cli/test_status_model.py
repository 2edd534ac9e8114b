"""What `p2p status` reads of a worker's pages, whatever they hold."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pclient.cli.status_model import Load, WorkerState, load_of, model_of
from p2pclient.types import Worker

# An example has no time limit: the machine may be busy with something else.
in_moderation = settings(max_examples=60, deadline=None)


@in_moderation
@given(body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_pages_of_other_servers_say_nothing(body):
    """Whatever another server answers is no error, and no model or load either."""
    assert model_of(body) is None
    assert load_of(body, now_s=0.0) is None


@given(flight=st.integers(0, 500), queue=st.integers(0, 500), answers=st.lists(st.integers(0, 10**6), max_size=4))
def test_load_is_read_from_metrics(flight, queue, answers):
    """Answers of every status are added up; the request for the page itself is not counted as in flight."""
    lines = [f'p2p_worker_requests_total{{status="{n}"}} {count}.0' for n, count in enumerate(answers)]
    lines += [f"p2p_worker_requests_in_flight {flight + 1}.0", f"p2p_worker_queue_depth {queue}.0", "nonsense NaN x"]
    assert load_of("\n".join(lines).encode(), now_s=5.0) == Load(flight, queue, sum(answers), 5.0)


def test_rates_leave_out_what_status_itself_asks():
    """Two pages a round are no traffic: 22 answers more in 2 s are 10 a second, 2 are none."""
    worker = Worker("classify", "w", "h", 1)
    before = Load(0, 0, 100, 10.0)
    assert WorkerState(worker, load=Load(0, 0, 122, 12.0), before=before).per_s == 10.0
    assert WorkerState(worker, load=Load(0, 0, 102, 12.0), before=before).per_s == 0.0
    assert WorkerState(worker, load=before).per_s is None
