"""Programs of other projects, pointed at each agent: the `consul` command line and the npm package of that name."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.contract.conftest import Api, Consul

NODE_PACKAGE = "consul@2.0.1"


@pytest.fixture
def command(consul_binary: Path, consul: Consul) -> list[str]:
    """`consul` with the agent's address set."""
    return ["env", f"CONSUL_HTTP_ADDR={consul.url}", str(consul_binary)]


async def run(*command: str | Path, stdin: str = "") -> str:
    """Run a program to its end, which must be a success; its output."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
    assert process.returncode == 0, f"{command}: {out.decode()} {err.decode()}"
    return out.decode()


async def test_looking_around(command: list[str], api: Api, name: str, node: str) -> None:
    """consul members, catalog and info must list the node, its service and its figures."""
    await api.register(name, Tags=["t"])
    (member,) = (await run(*command, "members")).splitlines()[1:]
    assert member.split()[0] == node
    assert member.split()[2:4] == ["alive", "server"]
    assert name in (await run(*command, "catalog", "services")).splitlines()
    assert [name, "t"] in [line.split() for line in (await run(*command, "catalog", "services", "-tags")).splitlines()]
    (row,) = (await run(*command, "catalog", "nodes", f"-service={name}")).splitlines()[1:]
    assert (row.split()[0], row.split()[2:]) == (node, ["127.0.0.1", "dc1"])
    assert (await run(*command, "catalog", "datacenters")).split() == ["dc1"]
    assert "services = " in await run(*command, "info")


async def test_keys(command: list[str], name: str) -> None:
    """consul kv put, get, export, import and delete must agree with each other."""
    assert "Success" in await run(*command, "kv", "put", "-flags=3", f"{name}/a", "hello")
    assert await run(*command, "kv", "get", f"{name}/a") == "hello\n"
    assert "Flags            3" in await run(*command, "kv", "get", "-detailed", f"{name}/a")
    assert (await run(*command, "kv", "get", "-keys", f"{name}/")).split() == [f"{name}/a"]
    exported = await run(*command, "kv", "export", f"{name}/")
    assert "Success" in await run(*command, "kv", "delete", "-recurse", f"{name}/")
    assert f"Imported: {name}/a" in await run(*command, "kv", "import", "-", stdin=exported)
    assert await run(*command, "kv", "get", "-recurse", f"{name}/") == f"{name}/a:hello\n"


async def test_services_and_maintenance(command: list[str], api: Api, name: str, tmp_path: Path) -> None:
    """consul services register and deregister take a file, and consul maint puts its service aside and back."""
    file = tmp_path / "service.hcl"
    file.write_text(
        f'service {{ id="{name}-1" name="{name}" port=81 meta {{ m="1" }} weights {{ passing=3 warning=1 }} '
        f'checks=[{{ id="{name}-c" name="beat" ttl="1h" status="passing" '
        f'deregister_critical_service_after="2m" }}] }}',
        encoding="utf-8",
    )
    assert f"Registered service: {name}" in await run(*command, "services", "register", file)
    (entry,) = (await api.until(f"health/service/{name}", len)).json
    assert (entry["Service"]["Weights"]["Passing"], entry["Checks"][-1]["CheckID"]) == (3, f"{name}-c")

    await run(*command, "maint", "-enable", f"-service={name}-1", "-reason=new disk")
    assert "new disk" in await run(*command, "maint")
    await api.until(f"health/checks/{name}", lambda checks: len(checks) == 2)
    await run(*command, "maint", "-disable", f"-service={name}-1")
    await api.until(f"health/checks/{name}", lambda checks: len(checks) == 1)

    assert f"Deregistered service: {name}-1" in await run(*command, "services", "deregister", file)
    await api.until(f"health/service/{name}", lambda found: not found)


async def test_maintenance_of_the_node(command: list[str], api: Api, node: str) -> None:
    """consul maint without a service puts the node aside and back."""
    await run(*command, "maint", "-enable", "-reason=move")
    try:
        assert "move" in await run(*command, "maint")
        await api.until(f"health/node/{node}", lambda checks: "_node_maintenance" in [c["CheckID"] for c in checks])
    finally:
        await run(*command, "maint", "-disable")
    await api.until(f"health/node/{node}", lambda checks: "_node_maintenance" not in [c["CheckID"] for c in checks])


async def test_locks_and_semaphores(command: list[str], name: str) -> None:
    """consul lock runs a program while it holds a lock or a semaphore, and leaves no key behind."""
    for options in ((), ("-n=2",)):
        assert await run(*command, "lock", *options, f"{name}/lock", "echo held") == "held\n"
        assert await run(*command, "kv", "get", "-keys", f"{name}/") == ""


async def test_two_programs_take_turns(command: list[str], api: Api, name: str, tmp_path: Path) -> None:
    """A second consul lock waits until the first one's program has ended."""
    go = f"until {command[-1]} kv get {name}/go >/dev/null 2>&1; do sleep 0.05; done"
    first = asyncio.create_task(run(*command, "lock", f"{name}/lock", f"{go}; echo first >> {tmp_path}/log"))
    await api.until(f"kv/{name}/lock/?keys", len)
    second = asyncio.create_task(run(*command, "lock", f"{name}/lock", f"echo second >> {tmp_path}/log"))
    await api.until("session/list", lambda sessions: len(sessions) >= 2)
    await api.do(f"kv/{name}/go", b"1")
    await asyncio.gather(first, second)
    assert (tmp_path / "log").read_text(encoding="utf-8") == "first\nsecond\n"


async def test_events(command: list[str], api: Api, name: str) -> None:
    """consul event fires what consul watch shows."""
    assert "Event ID: " in await run(*command, "event", f"-name={name}", "hello")
    await api.until(f"event/list?name={name}", len)
    (event,) = json.loads(await run(*command, "watch", "-type=event", f"-name={name}"))
    assert (event["Name"], event["Payload"]) == (name, "aGVsbG8=")


async def test_operating(command: list[str], api: Api, node: str) -> None:
    """consul operator, rtt and catalog's filters find the one server, its coordinate and its metadata."""
    (row,) = (await run(*command, "operator", "raft", "list-peers")).splitlines()[1:]
    assert (row.split()[0], row.split()[3:5]) == (node, ["leader", "true"])
    assert "CleanupDeadServers = true" in await run(*command, "operator", "autopilot", "get-config")
    await api.do("coordinate/update", {"Node": node, "Coord": {"Vec": [0] * 8, "Error": 1.5, "Height": 1e-5}})
    await api.eventually(lambda: api.get(f"coordinate/node/{node}"), lambda reply: reply.status == 200)
    assert f"Estimated {node} <-> {node} rtt: 0.020 ms" in await run(*command, "rtt", node, node)
    assert node in await run(*command, "catalog", "nodes", "-near=_agent", f"-filter=Node == `{node}`")
    assert "triggered" in await run(*command, "reload")


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the npm package, installed for this session."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("no npm on this machine: the npm package consul is not tried")
    folder = tmp_path_factory.mktemp("npm")
    quiet = ("--no-audit", "--no-fund", "--prefer-offline", "--no-package-lock")
    command = [npm, "install", *quiet, "--prefix", str(folder), NODE_PACKAGE]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    return folder / "node_modules"


SCRIPT = """
const [modules, host, port, name] = process.argv.slice(2);
const Consul = require(modules + '/consul');
const consul = new Consul({ host, port });
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function main() {
  await consul.agent.service.register({ name, id: name, port: 81, tags: ['a'],
    check: { checkid: name + '-c', ttl: '1h', status: 'passing' } });
  while ((await consul.health.service(name)).length === 0) await pause(10);

  const statuses = [];
  const watch = consul.watch({ method: consul.health.service, options: { service: name, wait: '10s' } });
  const seen = new Promise((resolve, reject) => {
    watch.on('error', reject);
    watch.on('change', (entries) => {
      const check = entries[0].Checks.find((one) => one.CheckID === name + '-c');
      statuses.push(check.Status);
      if (check.Status === 'passing') consul.agent.check.fail(name + '-c').catch(reject);
      if (check.Status === 'critical') resolve();
    });
  });
  await seen;
  watch.end();

  await consul.kv.set(name + '/a', 'hello');
  const value = (await consul.kv.get(name + '/a')).Value;
  const keys = await consul.kv.keys(name + '/');
  await consul.kv.del({ key: name, recurse: true });
  const gone = (await consul.kv.get(name + '/a')) === undefined;
  const services = await consul.catalog.service.list();
  await consul.agent.service.deregister(name);
  const members = (await consul.agent.members()).length;
  console.log(JSON.stringify({ statuses, value, keys, gone, tags: services[name], members }));
}
main().catch((error) => { console.error(error); process.exit(1); });
"""


async def test_the_npm_package(node_modules: Path, consul: Consul, name: str, tmp_path: Path) -> None:
    """Node's client registers, follows a change with its watch, and uses keys."""
    script = tmp_path / "script.js"
    script.write_text(SCRIPT, encoding="utf-8")
    host, _, port = consul.url.removeprefix("http://").rpartition(":")
    said = json.loads(await run("node", script, str(node_modules), host, port, name))
    assert said == {
        "statuses": ["passing", "critical"],
        "value": "hello",
        "keys": [f"{name}/a"],
        "gone": True,
        "tags": ["a"],
        "members": 1,
    }
