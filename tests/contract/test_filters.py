"""?filter=: which entries an expression selects, on which endpoints, and how a wrong one is refused."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.contract.conftest import Api, Reply

WRONG = "Failed to create boolean expression evaluator: "
SERVICE = {
    "Tags": ["blue", "v2"], "Port": 81, "Meta": {"model": "cat", "odd-name": "x"}, "Address": "192.0.2.1",
    "Weights": {"Passing": 3, "Warning": 2}, "TaggedAddresses": {"lan": {"Address": "10.0.0.1", "Port": 3}},
}  # fmt: skip


async def ask(api: Api, path: str, expression: str) -> Reply:
    return await api.get(f"{path}{'&' if '?' in path else '?'}filter={quote(expression)}")


@pytest.fixture
async def service(api: Api, name: str) -> str:
    """A service with a check, under the test's name."""
    await api.do(
        "agent/service/register",
        {"Name": name, **SERVICE, "Check": {"CheckID": f"{name}-c", "TTL": "1h", "Status": "passing"}},
    )
    await api.until(f"health/checks/{name}", len)
    return name


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ("Service.Port == 81", True),
        ("Service.Port != 81", False),
        ("Service.Port == `0x51`", True),
        ("Service.EnableTagOverride == false", True),
        ("Service.Tags contains blue", True),
        ("blue in Service.Tags", True),
        ('"green" not in Service.Tags', True),
        ("Service.Tags not contains blue", False),
        ("Service.Tags is empty", False),
        ("Service.Tags is not empty", True),
        ("Service.Meta.model == cat", True),
        ('Service.Meta["odd-name"] == "x"', True),
        ("Service.Meta.none == cat", False),
        ("Service.Meta.none != cat", True),
        ("Service.Meta.none matches cat", True),
        ("Service.Meta contains model", True),
        ("none in Service.Meta", False),
        ("Service.Meta.model contains a", True),
        ("Service.Meta.model matches `^c.t$`", True),
        ("Service.Meta.model not matches `^c.t$`", False),
        ("Service.Weights.Passing == 3 and Service.Weights.Warning == 2", True),
        ("Service.TaggedAddresses.lan.Port == 3", True),
        ("Service.TaggedAddresses is empty", False),
        ("Service.Kind == ``", True),
        ("Service.Proxy.Expose.Checks == true", False),
        ("Service.Connect.Native == false", True),
        ("Node.Datacenter == dc1", True),
        ("Node.Meta is empty", False),
        ("Checks.Status == passing", True),
        ("Checks.Status == critical", False),
        ("Checks.Status != critical", True),
        ("Checks.CheckID == serfHealth and Checks.Type == ttl", True),
        ("Checks is empty", False),
        ("not Service.Port == 81", False),
        ("not not Service.Port == 81", True),
        ("Service.Port == 1 or Service.Port == 81 and Node.Datacenter == dc1", True),
        ("(Service.Port == 81 or Service.Port == 1) and Service.Port == 1", False),
        ("  ( Service.Port==81 )  ", True),
    ],
)
async def test_what_matches(api: Api, service: str, expression: str, matches: bool) -> None:
    """Every operator, on every type of field, decides as Consul's does."""
    reply = await ask(api, f"health/service/{service}", expression)
    assert (reply.status, len(reply.json)) == (200, int(matches)), reply


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("Foo == 1", 'Selector "Foo" is not valid'),
        ("Service.Port.x == 1", 'Selector "Service.Port.x" is not valid'),
        ("Checks.Definition is empty", 'Selector "Checks.Definition" is not valid'),
        ("not == 1", 'Selector "not" is not valid'),
        ("Service.Tags == t", 'Invalid match operator "Equal" for selector "Service.Tags"'),
        ("Service.Port matches `8`", 'Invalid match operator "Matches" for selector "Service.Port"'),
        ("Service.Meta.a is not empty", 'Invalid match operator "Is Not Empty" for selector "Service.Meta.a"'),
        ("Service.Port == x", 'Failed to coerce value "x" for selector "Service.Port": '
         'strconv.ParseInt: parsing "x": invalid syntax'),
        ("Service.Port == 99999999999999999999", 'Failed to coerce value "99999999999999999999" for selector '
         '"Service.Port": strconv.ParseInt: parsing "99999999999999999999": value out of range'),
        ("Service.EnableTagOverride == x", 'Failed to coerce value "x" for selector "Service.EnableTagOverride": '
         'strconv.ParseBool: parsing "x": invalid syntax'),
        ("((", '1:3 (2): no match found, expected: "(", "-", "0", "\\"", "`", "not", [ \\t\\r\\n], [1-9] or [a-zA-Z]'),
        ("Node.Node", '1:10 (9): no match found, expected: "!=", ".", "==", "[", [ \\t\\r\\n] or [a-zA-Z0-9_]'),
        ("not a valid expression((", '1:7 (6): no match found, expected: "!=", "==", "contains", "in", "is", '
         '"matches", "not" or [ \\t\\r\\n]'),
        ("Node.ID == a Node.ID == b", '1:14 (13): no match found, expected: "and", "or", [ \\t\\r\\n] or EOF'),
        ("Node.Node in 8", '1:14 (13): rule "match": Invalid selector'),
        ("(Node.Node == a", '1:16 (15): rule "grouping": Unmatched parentheses'),
        ('Node.Node == "a', '1:16 (15): rule "string": Unterminated string literal'),
        ('Node.Node == "\\q"', '1:14 (13): rule "string": invalid syntax'),
        ("Node.Node == 1a", '1:15 (14): rule "number": Invalid number literal'),
        ("Node.Meta[x] == 1", '1:11 (10): rule "index": Invalid index'),
        ('Node.Meta["x" == 1', '1:15 (14): rule "index": Unclosed index expression'),
        ("Node.Node matches `(`", 'Failed to compile regular expression "(": error parsing regexp: '),
    ],
)  # fmt: skip
async def test_what_is_wrong(api: Api, name: str, expression: str, sentence: str) -> None:
    """An expression that cannot be read, or does not fit the entries, is refused with the place or the name."""
    reply = await ask(api, f"health/service/{name}", expression)
    assert (reply.status, reply.text[: len(WRONG + sentence)]) == (500, WRONG + sentence)


async def test_where_it_works(api: Api, service: str, node: str) -> None:
    """Each endpoint filters by the fields of its own entries, and answers with none where none match."""
    paths = {
        f"health/service/{service}": "Service.Service",
        f"health/checks/{service}": "ServiceName",
        f"health/node/{node}": "ServiceName",
        "health/state/passing": "ServiceName",
        f"catalog/service/{service}": "ServiceName",
        "agent/services": "Service",
        "agent/checks": "ServiceName",
    }
    for path, field in paths.items():
        assert len((await ask(api, path, f"{field} == `{service}`")).json) == 1, path
        assert len((await ask(api, path, f"{field} == none")).json) == 0, path
    for path in (f"catalog/node/{node}", f"catalog/node-services/{node}"):
        assert len((await ask(api, path, f"Service == `{service}`")).json["Services"]) == 1
        assert not (await ask(api, path, "Service == none")).json["Services"]
    assert len((await ask(api, "catalog/nodes", f"Node == `{node}`")).json) == 1
    assert (await ask(api, "catalog/nodes", "Meta.none == 1")).json == []
    assert (await ask(api, "catalog/node/no-such-node", "Service == none")).json is None


async def test_where_it_is_only_read(api: Api, name: str) -> None:
    """Where nothing can match, a wrong expression is refused all the same; catalog/services does not look at it."""
    for path in ("health/connect", "health/ingress", "catalog/connect"):
        assert (await ask(api, f"{path}/{name}", "((")).status == 500
        assert (await ask(api, f"{path}/{name}", "Foo == 1")).text == f'{WRONG}Selector "Foo" is not valid'
    assert (await ask(api, "catalog/services", "((")).status == 200


async def test_a_filter_does_not_change_the_index(api: Api, service: str) -> None:
    """A filtered read blocks and returns by the index of the unfiltered one."""
    whole = await api.get(f"health/service/{service}")
    filtered = await ask(api, f"health/service/{service}?index={whole.index - 1}&wait=5s", "Service.Port == 1")
    assert (filtered.index, filtered.json) == (whole.index, [])
