"""`p2p status`: what it asks the fleet, and what it shows of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from urllib.request import Request, urlopen

import pytest
from aiohttp import web

from tests.support.lookups.fleet import Fleet

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
    heading, titles, first, second, third, loading, silent = out.splitlines()
    assert heading == "classify: 3 of 3 serving, versions 1, 2, as of now"
    assert titles.split() == ["worker", "health", "version", "weight", "engine", "busy", "queue", "answers"]
    assert first.split() == [mixed[0].address, "ok", "2", "1", "onnx", "3", "7", "42"]
    assert second.split() == [mixed[1].address, "warning", "1", "1", "-", "-", "-", "-"]
    assert third.split() == [mixed[2].address, "silent", "1", "1", "-", "-", "-", "-"]
    assert loading == f"  {mixed[0].address}: version 3 is being loaded"
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
        "scheme": "http",
        "auth": "none",
        "health": "passing",
        "weight": 1,
        "version": "2",
        "boot": "",
        "output": None,
        "ready": True,
        "waiting_for": [],
        "leaving": False,
        "versions": [
            {"version": "3", "state": "LOADING", "error": ""},
            {"version": "2", "state": "AVAILABLE", "error": ""},
        ],
        "engine": "onnx",
        "in_flight": 3,
        "queue": 7,
        "answers": 42,
        "answers_per_s": None,
        "error": None,
        "unreachable": None,
    }
    assert (second["health"], second["engine"]) == ("warning", None)
    assert third["error"] == "connection refused"


def test_what_the_lookup_service_cannot_reach(p2p, mixed):
    """A worker that is reached from here, but not from the lookup service, is named with the reason."""
    mixed[0].unreachable = "no answer within 1 s"
    _, out, _ = p2p("status")
    assert f"  {mixed[0].address}: the lookup service cannot reach it: no answer within 1 s\n" in out
    _, out, _ = p2p("status", "--json")
    (service,) = json.loads(out)["services"]
    assert [worker["unreachable"] for worker in service["workers"]] == ["no answer within 1 s", None, None]


async def still_loading(request, _body):
    """A worker's pages while its model is being loaded, and after one version has failed."""
    if request.path == "/metrics":
        return web.Response(text=METRICS)
    failed = {"version": "2", "state": "END", "error": "no label\x1b[31m for class 3"}
    models = {"classify": {"default": None, "versions": [{"version": "3", "state": "LOADING"}, failed]}}
    said = {"ready": False, "leaving": False, "boot": "b", "model": "classify", "models": models}
    waiting_for = ["The model classify is not loaded yet: version 3 is being loaded."]
    return web.json_response(said | {"waiting_for": waiting_for}, status=503)


def test_what_a_worker_waits_for_is_told(fleet, p2p):
    """One that loads is called so, not critical, with what it waits for and what has become of each version."""
    (worker,) = fleet.add()
    worker.behave, worker.health = still_loading, "critical"
    code, out, err = p2p("status", env={"COLUMNS": "200"})
    assert (code, err) == (0, "")
    _, _, row, *notes = out.splitlines()
    assert row.split()[:3] == [worker.address, "loading", "1"]
    assert notes == [
        f"  {worker.address}: waits: The model classify is not loaded yet: version 3 is being loaded.",
        f"  {worker.address}: version 3 is being loaded",
        rf"  {worker.address}: version 2 failed: no label\x1b[31m for class 3",
    ]


def test_panic_and_unusable_workers_are_told(fleet, p2p):
    """In the table and in the JSON, and panic mode on standard error, too."""
    worker, odd = fleet.add(2)
    shown, handle = fleet.lookup._shown, fleet.lookup.handle

    async def in_panic(request):
        response = await handle(request)
        response.headers["X-Registry-Panic"] = "0/2"
        return response

    fleet.lookup.handle = in_panic
    fleet.lookup._shown = lambda named: shown(named) | ({"port": 70000} if named is odd else {})
    fleet.lookup.stop()
    fleet.lookup.start()
    worker.behave = ours
    code, out, err = p2p("status", env={"COLUMNS": "120"})
    assert code == 0
    assert "panic mode (0 of 2 are healthy: all are used)" in out
    assert f"  {odd.id} is left out: port 70000 is not from 1 to 65535\n" in out
    assert "p2p status: classify: 0 of 2 workers are healthy, fewer than half: all of them are used\n" in err
    (service,) = json.loads(p2p("status", "--json")[1])["services"]
    assert service["panic"] == {"healthy": 0, "total": 2}
    assert service["unusable"] == [{"id": odd.id, "reason": "port 70000 is not from 1 to 65535"}]
    code, out, err = p2p("lookup")
    assert (code, out) == (1, f"{worker.address}\n")
    assert err == "p2p lookup: classify: 0 of 2 workers are healthy, fewer than half: all of them are used\n"


def test_a_service_without_workers_says_why(p2p):
    """None is registered, or the token has no right to read them: which of the two, nobody but Consul knows."""
    code, out, _ = p2p("status")
    assert (code, out) == (0, "classify: no worker to be seen: none is there, or the token may read none\n")


def test_consul_s_own_words_are_shown(shared_consul, p2p):
    """A check's output and the reason of a maintenance stand below the table, word for word."""

    def put(path, body=None):
        data = None if body is None else json.dumps(body).encode()
        urlopen(Request(f"{shared_consul.url}/v1/agent/{path}", data, method="PUT"), timeout=10).close()

    for name in ("told-1", "told-2"):
        check = {"CheckID": f"{name}:ttl", "TTL": "600s"}
        place = {"Address": "10.0.0.1", "Port": 9, "Tags": ["p2p"]}
        put("service/register", {"Name": "told", "ID": name, **place, "Check": check})
    put("check/update/told-1:ttl", {"Status": "warning", "Output": "GET /healthz: 503\nloading \x1b[2Jthe model"})
    put("service/maintenance/told-2?enable=true&reason=new%20disks")
    address = shared_consul.url.replace("http://", "consul://")
    Fleet.until(lambda: "new disks" in (said := p2p("status", "--json", "--registry", address)[1]) and "503" in said)
    out = p2p("status", "--registry", address)[1]
    assert "  10.0.0.1:9: warning: GET /healthz: 503\n" in out
    assert r"  10.0.0.1:9: warning: loading \x1b[2Jthe model" in out
    assert "  10.0.0.1:9: maintenance: new disks\n" in out


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


@pytest.mark.parametrize(("auth", "shown"), [("token", "Bearer s3cret"), ("none", None)])
def test_workers_that_ask_for_a_token_are_shown_it(p2p, mixed, fleet, auth, shown):
    """P2P_TOKEN goes to the workers whose registration asks for one, and to no other."""
    fleet.lookup.auth = auth
    code, _, _ = p2p("status", env={"P2P_TOKEN": "s3cret"})
    assert code == 0
    assert {seen.headers.get("Authorization") for seen in mixed[0].seen} == {shown}


@pytest.mark.parametrize(
    ("env", "status", "reason"), [({"P2P_TOKEN": "s3cret"}, 403, "token without rights"), ({}, 401, "no token")]
)
def test_a_token_without_rights_is_named(p2p, fleet, env, status, reason):
    """A worker that does not tell its load to this token says so in a line below the table, and in the JSON."""

    async def closed(request, body):
        if request.path == "/metrics":
            return web.json_response({"error": "It takes the role operator."}, status=status)
        return await ours(request, body)

    (worker,) = fleet.add()
    worker.behave = closed
    _, out, _ = p2p("status", env=env)
    assert f"  {worker.address}: {reason}: It takes the role operator." in out.splitlines()
    _, out, _ = p2p("status", "--json", env=env)
    (told,) = json.loads(out)["services"][0]["workers"]
    assert (told["denied"], told["engine"], told["answers"]) == (f"{reason}: It takes the role operator.", "onnx", None)
