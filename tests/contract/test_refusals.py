"""Bad requests: each gets a 4xx and a sentence; where the real Consul answers so too, the same ones."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

import pytest

from tests.contract.conftest import Api

CHECK = "Invalid check: "
DECODE = "Request decode failed: "
META = "Invalid Service Meta: "
PAIR = META + "Couldn't load metadata pair "
REGISTER = "agent/service/register"


def with_check(**fields: object) -> dict[str, object]:
    return {"Name": "refused", "Check": fields}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "Missing service name"),
        (None, DECODE + "EOF"),
        (b"{", DECODE + "unexpected EOF"),
        (b"null", "Missing service name"),
        (b"nonsense", DECODE),
        (b"[]", DECODE + "json: cannot unmarshal array into "),
        (b'{"Name": "a",}', DECODE),
        (b"[" * 100_000, DECODE),
        (b'{"Name": "a", "Port": ' + b"9" * 5_000 + b"}", DECODE),
        ({"Name": ""}, "Missing service name"),
        ({"Name": 5}, DECODE + "json: cannot unmarshal number into "),
        ({"Name": "a", "Port": "12"}, DECODE + "json: cannot unmarshal string into "),
        ({"Name": "a", "Port": 1.5}, DECODE + "json: cannot unmarshal number"),
        ({"Name": "a", "Tags": "b"}, DECODE + "json: cannot unmarshal string into "),
        ({"Name": "a", "Meta": {"b": 1}}, DECODE + "json: cannot unmarshal number into "),
        ({"Name": "a", "Surprise": 1}, DECODE + 'json: unknown field "Surprise"'),
        ({"Name": "a", "Address": "0.0.0.0"}, "Invalid service address"),
        ({"Name": "a", "Weights": {"Passing": 0}}, "Invalid Weights: Passing must be greater than 0"),
        ({"Name": "a", "Weights": {"Passing": 1, "Warning": -1}}, "Invalid Weights: Warning must be "),
        ({"Name": "a", "Weights": {"Passing": 70_000}}, "Invalid Weights: DNS Weight must be between 0 and 65535"),
        ({"Name": "a", "Meta": {"a b": "1"}}, PAIR + "('a b', '1'): Key contains invalid characters"),
        ({"Name": "a", "Meta": {"": "1"}}, PAIR + "('', '1'): Key cannot be blank"),
        ({"Name": "a", "Meta": {"consul-a": "1"}}, PAIR + "('consul-a', '1'): Key prefix"),
        ({"Name": "a", "Meta": {"k" * 129: "1"}}, PAIR),
        ({"Name": "a", "Meta": {"k": "1" * 513}}, PAIR),
        ({"Name": "a", "Meta": {f"k{n}": "" for n in range(65)}}, META + "Node metadata cannot contain "),
        (with_check(TTL="abc"), DECODE + 'time: invalid duration "abc"'),
        (with_check(TTL="5"), DECODE + 'time: missing unit in duration "5"'),
        (with_check(TTL="-5s"), CHECK + "TTL must be > 0 for TTL checks"),
        (with_check(Name="only a name"), CHECK + "TTL must be > 0 for TTL checks"),
        (with_check(HTTP="http://a"), CHECK + "Interval must be > 0 for "),
        (with_check(HTTP="http://a", Interval="0s"), CHECK + "Interval must be > 0 for "),
        (with_check(TTL="1s", Interval="1s"), CHECK + "Interval and TTL cannot both be specified"),
        (with_check(TTL="1s", Status="well"), "Status for checks must 'passing', 'warning', 'critical'"),
        (with_check(TTL="1s", DeregisterCriticalServiceAfter="z"), DECODE + 'time: invalid duration "z"'),
        (with_check(TTL="1s", OutputMaxSize=-1), CHECK + "MaxOutputMaxSize must be positive"),
        (with_check(TTL="1s", Surprise=1), DECODE + 'json: unknown field "Surprise"'),
    ],
)  # fmt: skip
async def test_a_bad_registration(api: Api, body: object, sentence: str) -> None:
    """A body that is no registration is answered 400 with Consul's sentence, and nothing is registered."""
    reply = await api.put(REGISTER, body)
    assert (reply.status, reply.text[: len(sentence)]) == (400, sentence)
    assert {"a", "refused"}.isdisjoint((await api.get("agent/services")).json)


@pytest.mark.parametrize(
    ("method", "path", "body", "statuses", "sentence"),
    [
        ("PUT", "agent/check/register", {"TTL": "1s"}, (400,), "Missing check name"),
        ("PUT", "agent/check/register", {"Name": "a"}, (400,), CHECK + "TTL must be > 0 for TTL checks"),
        ("PUT", "agent/check/register", {"Name": "a", "TTL": "1s", "Status": "well"}, (400,), "Bad check status"),
        ("PUT", "agent/check/register", {"Name": "a", "TTL": "1s", "ServiceID": "x"}, (500,), "ServiceID "),
        ("PUT", "agent/check/register", None, (400,), DECODE + "EOF"),
        ("PUT", "agent/check/update/none", {"Status": "well"}, (400,), "Invalid check status: 'well'"),
        ("PUT", "agent/check/update/none", b"{", (400,), DECODE + "unexpected EOF"),
        ("PUT", "agent/check/pass/", None, (500,), 'CheckID "" does not have associated TTL'),
        ("PUT", "agent/service/deregister/", None, (400, 500), "ServiceID missing"),
        ("PUT", "agent/check/deregister/", None, (400, 500), "CheckID missing"),
        ("PUT", "agent/service/maintenance/?enable=true", None, (400,), "Missing service ID"),
        ("PUT", "agent/service/maintenance/none", None, (400,), "Missing value for enable"),
        ("PUT", "agent/service/maintenance/none?enable=so", None, (400,), 'Invalid value for enable: "so"'),
        ("PUT", "agent/service/maintenance/none?enable=true", None, (404,), "No service registered with ID"),
        ("PUT", "agent/maintenance", None, (400,), "Missing value for enable"),
        ("GET", "agent/service/none", None, (404,), "unknown service ID: none"),
        ("GET", "health/service/", None, (400,), "Missing service name"),
        ("GET", "health/checks/", None, (400,), "Missing service name"),
        ("GET", "health/node/", None, (400,), "Missing node name"),
        ("GET", "health/state/", None, (400,), "Missing check state"),
        ("GET", "catalog/service/", None, (400,), "Missing service name"),
        ("GET", "catalog/node/", None, (400,), "Missing node name"),
        ("GET", "kv/", None, (400,), "Missing key name"),
        ("PUT", "kv/", b"x", (400,), "Missing key name"),
        ("DELETE", "kv/", None, (400,), "Missing key name"),
        ("PUT", "kv/a?cas=x", b"x", (400, 500), 'strconv.ParseUint: parsing "x": invalid syntax'),
        ("PUT", "kv/a?flags=-1", b"x", (400, 500), 'strconv.ParseUint: parsing "-1": invalid syntax'),
        ("GET", "health/service/a?index=abc", None, (400,), "Invalid index"),
        ("GET", "health/service/a?index=-1", None, (400,), "Invalid index"),
        ("GET", "health/service/a?index=99999999999999999999", None, (400,), "Invalid index"),
        ("GET", "health/service/a?wait=abc", None, (400,), "Invalid wait time"),
        ("GET", "health/service/a?wait=5", None, (400,), "Invalid wait time"),
        ("GET", "health/service/a?stale&consistent", None, (400,), "Cannot specify ?stale with ?consistent"),
        ("GET", "health/service/a?ns=b", None, (400,), 'Bad request: Invalid query parameter: "ns"'),
        ("GET", "health/service/a?dc=elsewhere", None, (500,), "No path to datacenter"),
        ("GET", "agent/health/service/id/none", None, (404,), '{"AggregatedStatus":"critical","Service":null,'),
        ("GET", "agent/health/service/name/none", None, (404,), "[]"),
        ("GET", "nothing/here", None, (404,), ""),
        ("POST", "agent/services", None, (405,), "method POST not allowed"),
        ("PUT", "status/leader", None, (405,), "method PUT not allowed"),
        ("GET", "agent/service/register", None, (405,), "method GET not allowed"),
        ("PATCH", "kv/a", None, (405,), "method PATCH not allowed"),
        ("DELETE", "health/service/a", None, (405,), "method DELETE not allowed"),
    ],
)  # fmt: skip
async def test_a_bad_request(
    api: Api, method: str, path: str, body: object, statuses: tuple[int, ...], sentence: str
) -> None:
    """Each is refused with Consul's status and sentence; where Consul says 500 to bad input, ours may say 400."""
    reply = await api.ask(method, path, body)
    assert reply.status in statuses
    assert reply.text.startswith(sentence)
    if reply.status == 405:
        assert reply.headers["Allow"].startswith("OPTIONS,")


async def test_paths_that_are_not_clean(api: Api) -> None:
    """Doubled slashes and a missing final one are redirected, as Go's router does."""
    for path, target in (("/v1//agent/self", "/v1/agent/self"), ("/v1/health/service", "/v1/health/service/")):
        async with api.session.get(api.url + path, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (301, target)


@pytest.mark.parametrize("path", ["agent/health/service/id/a%0d%0aX-Injected:%20b", "kv/a%00", "kv/%E2%80%AE"])
async def test_a_path_that_cannot_be_printed(api: Api, path: str) -> None:
    """Control characters in a path are refused, before they could become a header or break a terminal."""
    reply = await api.get(path)
    assert reply.status == 400
    assert "X-Injected" not in reply.headers


async def test_a_redirect_keeps_the_query(api: Api) -> None:
    """A path that is cleaned keeps what was asked."""
    async with api.session.get(f"{api.url}/v1/health/service?tag=%C3%BC&stale", allow_redirects=False) as response:
        assert response.headers["Location"] == "/v1/health/service/?tag=%C3%BC&stale"


async def test_text_that_is_not_utf8(api: Api, name: str) -> None:
    """Bytes that are no UTF-8 become U+FFFD in bodies and paths; they break neither the agent nor its answers."""
    await api.do(REGISTER, b'{"Name": "' + name.encode() + b'-\xff", "Meta": {"a": "\\ud800"}}')
    assert (await api.get(f"agent/service/{name}-%EF%BF%BD")).json["Meta"] == {"a": "\ufffd"}
    await api.do(f"agent/service/deregister/{name}-%EF%BF%BD")
    assert (await api.put(f"kv/{name}-%FF", b"x")).status == 200
    assert len((await api.get(f"kv/{name}?keys")).json) == 1


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /v1/health/service/\xff\xfe?tag=\xff HTTP/1.1",
        b"GET /v1/kv/a%zz HTTP/1.1",
        b"GET /v1/agent/self HTTP/9.9",
        b"GET\x00 /v1/agent/self HTTP/1.1",
        b"G\xc3\x84T /v1/agent/self HTTP/1.1",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1",
        b"GET /v1/kv/a?" + b"b&" * 3_000 + b" HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"nonsense",
    ],
)
async def test_requests_that_no_client_sends(api: Api, request_line: bytes) -> None:
    """Whatever bytes come, the answer (if there is one) is not a 5xx, and the agent answers the next client."""
    parts = urlsplit(api.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(request_line + b"\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    if answer:
        assert int(answer.split()[1]) < 500 or answer.split()[1] == b"505"
        assert b"Traceback" not in answer
    assert json.loads((await api.get("status/leader")).text)
