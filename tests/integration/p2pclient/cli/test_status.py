"""`p2p status`: what it asks the fleet, and what it shows of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from aiohttp import web

METRICS = """# HELP p2p_worker_requests_total Requests answered, by status.
p2p_worker_requests_total{model="classify",protocol="article",status="200"} 40.0
p2p_worker_requests_total{model="classify",protocol="tfserving",status="503"} 2.0
p2p_worker_requests_total{model="",protocol="",status="200"} 500.0
p2p_worker_requests_in_flight 4.0
p2p_worker_queue_depth{model="classify"} 7.0
"""


async def ours(request, _body):
    """A worker's own pages, as the contract has them."""
    if request.path == "/metrics":
        return web.Response(text=METRICS)
    versions = [{"version": "3", "state": "LOADING"}, {"version": "2", "state": "AVAILABLE", "engine": "onnx"}]
    models = {"classify": {"default": "2", "versions": versions}}
    said = {"ready": True, "leaving": False, "boot": "b", "model": "classify", "models": models}
    return web.json_response(said)


@pytest.fixture
def mixed(fleet):
    """One of our workers, one other server, and one address where nobody is."""
    workers = fleet.add(3)
    workers[0].behave = ours
    workers[1].behave = fleet.says("<p>hello</p>", kind="text/html")
    workers[1].health = "warning"
    workers[2].stop()
    return workers


def test_the_table_fits_80_columns(p2p, mixed):
    """A heading with versions and age; a row for each worker; one that says nothing is named with the reason."""
    code, out, err = p2p("status", env={"COLUMNS": "80"})
    assert (code, err) == (0, "")
    heading, titles, first, second, third, silent = out.splitlines()
    assert heading == "classify: 3 of 3 serving, versions 1, 2, as of now"
    assert titles.split() == ["worker", "health", "version", "weight", "engine", "busy", "queue", "answers"]
    assert first.split() == [mixed[0].address, "ok", "2", "1", "onnx", "3", "7", "42"]
    assert second.split() == [mixed[1].address, "warning", "1", "1", "-", "-", "-", "-"]
    assert third.split() == [mixed[2].address, "silent", "1", "1", "-", "-", "-", "-"]
    assert silent == f"  {mixed[2].address}: connection refused"
    assert max(map(len, out.splitlines())) <= 80


def test_json_has_it_all(p2p, mixed):
    """One object on one line, with empty fields where a worker did not say."""
    code, out, _ = p2p("status", "--json")
    assert (code, out.count("\n")) == (0, 1)
    (service,) = json.loads(out)["services"]
    assert (service["name"], service["age_s"]) == ("classify", 0.0)
    first, second, third = service["workers"]
    assert first | {"address": "", "boot": ""} == {
        "id": "w0",
        "address": "",
        "health": "passing",
        "weight": 1,
        "version": "2",
        "boot": "",
        "ready": True,
        "leaving": False,
        "engine": "onnx",
        "in_flight": 3,
        "queue": 7,
        "answers": 42,
        "answers_per_s": None,
        "error": None,
    }
    assert (second["health"], second["engine"]) == ("warning", None)
    assert third["error"] == "connection refused"


def test_watch_goes_on_through_an_outage_until_ctrl_c(fleet, p2p, mixed):
    """Each round is written, rates from the second on; a lookup service that is away is told, and waited for."""
    process = p2p.start("status", "--watch", "--interval", "0.1", "--timeout", "0.5", "--json")
    assert json.loads(process.stdout.readline())["services"][0]["workers"][0]["answers_per_s"] is None
    assert json.loads(process.stdout.readline())["services"][0]["workers"][0]["answers_per_s"] == 0.0
    fleet.lookup.stop()
    lines = iter(process.stdout.readline, "")
    assert next(line for line in lines if not line.startswith("{")).startswith("p2p status: no lookup service at")
    fleet.lookup.start()
    assert json.loads(next(line for line in lines if line.startswith("{")))["services"]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, "")


def test_without_a_lookup_service_it_says_so(p2p, closed_port):
    """A wrong address is one clear line and exit code 1."""
    code, out, err = p2p("status", "--registry", f"127.0.0.1:{closed_port}", "--timeout", "0.5")
    assert (code, out) == (1, "")
    assert err.startswith(f"p2p status: no lookup service at http://127.0.0.1:{closed_port}")


def test_p2p_carries_it():
    """`p2p status` is the same command."""
    command = [sys.executable, "-m", "p2pclient", "status", "--help"]
    environment = os.environ | {"PYTHONWARNINGS": "error"}
    text = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert "--watch" in text
    assert "Exit codes:" in text


def test_workers_are_shown_the_token(p2p, mixed):
    """P2P_TOKEN goes to the workers as it does to the lookup service."""
    code, _, _ = p2p("status", env={"P2P_TOKEN": "s3cret"})
    assert code == 0
    assert {seen.headers.get("Authorization") for seen in mixed[0].seen} == {"Bearer s3cret"}
