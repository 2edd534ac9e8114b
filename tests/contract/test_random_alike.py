"""Random writes and reads, made at both agents: after names, ids and indexes are masked all replies are equal.

Keys, sessions, transactions and the catalogue share few names, so that the operations meet each other.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.contract.conftest import Api, Consul

STEPS = 250
SESSIONS_KEPT = 4
KEY_VERBS = (
    "set", "cas", "lock", "unlock", "get", "get-tree", "check-index", "check-session", "check-not-exists", "delete",
    "delete-cas", "delete-tree",
)  # fmt: skip
CATALOG_VERBS = ("set", "cas", "get", "delete", "delete-cas")


@dataclass(frozen=True)
class NthSession:
    """Stands for the id of a session that was created earlier, if there were so many."""

    number: int


@dataclass(frozen=True)
class IndexOf:
    """Stands for the index at which a key last changed."""

    key: str


@dataclass(frozen=True)
class Step:
    """One request; its path and body may hold stand-ins."""

    method: str
    path: tuple[object, ...]
    body: object = None


class Generator:
    """Makes the steps; equal seeds make equal ones."""

    def __init__(self, seed: int, name: str) -> None:
        self._random = random.Random(seed)
        self._name = name
        self.nodes = [f"{name}-x", f"{name}-y"]

    def step(self) -> Step:
        makers: list[tuple[int, Callable[[], Step]]] = [
            (2, self._create_session), (1, self._end_session), (2, self._lock), (2, self._write), (1, self._delete),
            (3, self._transaction), (3, self._register), (1, self._deregister), (5, self._read),
        ]  # fmt: skip
        weights = [weight for weight, _ in makers]
        return self._random.choices([make for _, make in makers], weights)[0]()

    def _one(self, *choices: Any) -> Any:
        return self._random.choice(choices)

    def _key(self) -> str:
        return f"{self._name}/{self._one('a', 'b', 'c')}"

    def _node(self) -> str:
        return str(self._one(*self.nodes))

    def _service(self) -> str:
        return f"{self._name}-s{self._one(1, 2)}"

    def _session(self) -> NthSession:
        return NthSession(self._random.randrange(SESSIONS_KEPT))

    def _create_session(self) -> Step:
        checks = self._one([], ["c1"])
        body = {"Node": self._node(), "Checks": [], "NodeChecks": checks, "LockDelay": 0}
        return Step("PUT", ("session/create",), body | {"Behavior": self._one("release", "delete")})

    def _end_session(self) -> Step:
        return Step("PUT", ("session/destroy/", self._session()))

    def _lock(self) -> Step:
        verb = self._one("acquire", "release")
        return Step("PUT", (f"kv/{self._key()}?{verb}=", self._session()), self._one(b"1", b"2"))

    def _write(self) -> Step:
        return Step("PUT", (f"kv/{self._key()}?flags={self._one(0, 3)}",), self._one(b"1", b"2", b""))

    def _delete(self) -> Step:
        return Step("DELETE", (f"kv/{self._key()}{self._one('', '?recurse')}",))

    def _transaction(self) -> Step:
        count = self._random.randint(1, 4)
        return Step("PUT", ("txn",), [self._one(self._key_operation, self._catalog_operation)() for _ in range(count)])

    def _key_operation(self) -> dict[str, object]:
        verb = self._one(*KEY_VERBS)
        key = f"{self._name}/" if verb.endswith("-tree") else self._key()
        fields = {"Value": self._one("YQ==", "Yg==", ""), "Flags": self._one(0, 1), "Session": self._session()}
        return {"KV": {"Verb": verb, "Key": key, "Index": self._one(0, IndexOf(self._key())), **fields}}

    def _catalog_operation(self) -> dict[str, object]:
        verb, service = self._one(*CATALOG_VERBS), self._service()
        address, port = self._one("192.0.2.1", "192.0.2.2"), self._one(1, 2)
        return self._one(
            {"Node": {"Verb": verb, "Node": {"Node": self._node(), "Address": address}}},
            {"Service": {"Verb": verb, "Node": self._node(), "Service": {"ID": service, "Service": service,
                                                                        "Port": port}}},
            {"Check": {"Verb": verb, "Check": {"Node": self._node(), **self._check()}}},
        )  # fmt: skip

    def _check(self) -> dict[str, object]:
        status = self._one("passing", "warning", "critical")
        return {"CheckID": self._one("c1", "c2"), "Name": "n", "ServiceID": self._one("", self._service()),
                "Status": status, "Output": self._one("", "o")}  # fmt: skip

    def _register(self) -> Step:
        body = {"Node": self._node(), "Address": self._one("192.0.2.1", "192.0.2.2", "")}
        service = {"Service": self._service(), "Port": self._one(1, 2), "Tags": self._one([], ["t"])}
        parts: list[dict[str, object]] = [{"SkipNodeUpdate": True}, {"Service": service}, {"Check": self._check()}]
        for part in parts:
            body |= self._one({}, part)
        return Step("PUT", ("catalog/register",), body)

    def _deregister(self) -> Step:
        what = self._one({}, {"ServiceID": self._service()}, {"CheckID": "c1"})
        return Step("PUT", ("catalog/deregister",), {"Node": self._node(), **what})

    def _read(self) -> Step:
        name, service, node = self._name, self._service(), self._node()
        paths = [
            f"kv/{self._key()}", f"kv/{name}/?recurse", f"kv/{name}?keys&separator=/", f"catalog/node/{node}",
            f"catalog/service/{service}", f"health/service/{service}", f"health/service/{service}?passing",
            f"health/service/{service}?filter=Checks.Status==passing", f"health/node/{node}",
            f"health/checks/{service}",
        ]  # fmt: skip
        return Step("GET", self._one(*((path,) for path in paths), ("session/info/", self._session())))


class Agent:
    """One agent and the sessions created at it."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._sessions: list[str] = []

    async def reply(self, step: Step) -> tuple[int, object]:
        """The status and the masked body."""
        path = "".join([str(await self._real(part)) for part in step.path])
        reply = await self._api.ask(step.method, path, await self._real(step.body))
        if path == "session/create" and reply.status == 200:
            self._sessions.append(reply.json["ID"])
        return reply.status, self._masked(reply.text)

    async def _real(self, value: object) -> object:
        if isinstance(value, NthSession):
            recent = self._sessions[-SESSIONS_KEPT:]
            return recent[value.number] if value.number < len(recent) else f"{value.number:0>8}-0000-0000-0000-{0:0>12}"
        if isinstance(value, IndexOf):
            found = await self._api.get(f"kv/{value.key}")
            return found.json[0]["ModifyIndex"] if found.status == 200 else 1
        if isinstance(value, dict):
            return {name: await self._real(inner) for name, inner in value.items()}
        return [await self._real(inner) for inner in value] if isinstance(value, list) else value

    def _masked(self, text: str) -> object:
        """Without indexes and ids; tags that were never given are null or empty, as they came to the agent."""
        for number, session in enumerate(self._sessions):
            text = text.replace(session, f"SESSION-{number}")
        text = re.sub(r'"(Create|Modify)Index":\d+', r'"\1Index":0', text)
        text = re.sub(r"current modify index \d+ != \d+", "another index", text)
        text = re.sub(r'Tags":null', 'Tags":[]', text)
        try:
            return json.loads(text)
        except ValueError:
            return text


@pytest.mark.parametrize("seed", range(4))
async def test_random_requests(
    embedded_agent: Consul, real_consul: Consul, session: aiohttp.ClientSession, name: str, seed: int
) -> None:
    """Whatever is asked in whatever order, the embedded agent's replies are the real Consul's."""
    generator = Generator(seed, name)
    apis = [Api(session, agent.url) for agent in (embedded_agent, real_consul)]
    agents = [Agent(api) for api in apis]
    for number in range(STEPS):
        step = generator.step()
        ours, theirs = [await agent.reply(step) for agent in agents]
        assert ours == theirs, f"step {number}: {step}"
    for api in apis:
        for node in generator.nodes:
            await api.do("catalog/deregister", {"Node": node})
