"""The commands that docs/guide/operations.md names, run beside a real Consul, a lookup service and a worker."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from registry.consul.settings import ConsulSettings
from registry.server import running
from registry.settings import RegistrySettings
from tests.support.consul_process import ConsulProcess
from tests.support.workers.echo_worker import echo_worker

ROOT = Path(__file__).parents[3]
MENTIONED = {"p2p drain", "p2p scale", "p2p up"}
"""Commands that the text speaks of without their arguments."""

RUN_ELSEWHERE = {
    "p2p scale N": "tests/integration/deploy/test_scale.py",
    "p2p registry --failover-dc dc2,dc3": "tests/integration/registry/lookup/test_datacenters.py",
    "p2p status --watch": "tests/integration/p2pclient/cli/test_status.py",
    "promtool test rules deploy/monitoring/alerts_test.yml": "tests/integration/deploy/test_monitoring.py",
}
"""Commands that run until they are stopped or need more than is here, and the tests that run them."""


def commands() -> Sequence[str]:
    """What stands in backticks and begins with the name of a program, in the order of the text."""
    text = (ROOT / "docs" / "guide" / "operations.md").read_text()
    return list(dict.fromkeys(re.findall(r"`((?:p2p|consul|curl|promtool) [^`]+)`", text)))


@dataclass
class Place:
    """Where the commands are run: what stands for their placeholders, and what is in their environment."""

    placeholders: Mapping[str, str]
    programs: Mapping[str, Sequence[str]]
    environ: Mapping[str, str]

    async def run(self, text: str) -> tuple[int, str]:
        """The exit code of a command, and what it said."""
        for placeholder, value in self.placeholders.items():
            text = text.replace(placeholder, value)
        name, *arguments = shlex.split(text)
        process = await asyncio.create_subprocess_exec(
            *self.programs[name],
            *arguments,
            env=dict(self.environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), 30)
        return process.returncode or 0, said.decode()


@asynccontextmanager
async def fleet(consul: ConsulProcess, binary: Path, token: str, folder: Path) -> AsyncIterator[Place]:
    """A lookup service and a worker, with a Consul that checks tokens."""
    settings = ConsulSettings(url=consul.url, token=token)
    lookup = RegistrySettings(settings, port=0, service="echo", ticket_keys=folder / "keys")
    async with running(lookup) as registry, echo_worker(settings) as worker:
        placeholders = {
            "-wan ADDRESS": f"-wan {consul.wan_gossip}",
            "ADDRESS": worker.running.instance.address,
            "HOST:12480": registry.url.removeprefix("http://"),
            "FILE": str(folder / "state.snap"),
            "DIR": str(folder / "keys"),
        }
        programs = {"p2p": (sys.executable, "-m", "p2pclient"), "consul": (str(binary),), "curl": ("curl", "-sf")}
        environ = {
            "PATH": os.environ["PATH"],
            "CONSUL_HTTP_ADDR": consul.url,
            "CONSUL_HTTP_TOKEN": token,
            "P2P_REGISTRY": registry.url,
        }
        yield Place(placeholders, programs, environ)


async def test_every_command_works(consul_binary: Path, tmp_path: Path) -> None:
    """Each command ends with code 0, but those that other tests run; an alert names none that the guide does not."""
    token = str(uuid.uuid4())
    consul = ConsulProcess(consul_binary, tmp_path, management=token, wan=True)
    await asyncio.to_thread(consul.start)
    try:
        named = [each for each in commands() if each not in MENTIONED | RUN_ELSEWHERE.keys()]
        assert len(named) > 10
        async with fleet(consul, consul_binary, token, tmp_path) as place:
            failed = {each: said for each in named if (said := await place.run(each))[0] != 0}
        assert failed == {}
    finally:
        await asyncio.to_thread(consul.stop)


def test_what_is_run_elsewhere_is_named_and_run() -> None:
    """No exception outlives the command or the test for which it was made."""
    assert RUN_ELSEWHERE.keys() | MENTIONED <= {*commands()}
    assert all((ROOT / test).is_file() for test in RUN_ELSEWHERE.values())


def test_alerts_name_commands_of_the_guide() -> None:
    """What an alert tells an operator to run first stands in the guide, so that it has been run."""
    groups = yaml.safe_load((ROOT / "deploy" / "monitoring" / "alerts.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    first = {rule["annotations"]["command"].partition(",")[0] for rule in rules}
    programs = {each for each in first if each.split()[0] in ("p2p", "consul", "curl")}
    assert programs <= {*commands()}
