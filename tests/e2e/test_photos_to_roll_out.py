"""From a folder of photos to a roll-out and a cascade, by the commands that the guides name, with real Consul.

One test, because each step works with what the one before has left.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.command_process import Command, command, free_port
from tests.support.consul_process import ConsulProcess
from tests.support.photos import chelsea, coffee, jpeg
from tests.support.waiting import until

pytestmark = [
    pytest.mark.timeout(600),  # two trainings, four workers
    pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on the PATH"),
]

SLOWLY_S = 240.0
"""How long a step may take on a machine that is busy with other tests."""


def photos(folder: Path) -> None:
    """Twelve crops each of a cat and an espresso, in a folder for each label."""
    random = np.random.default_rng(1)
    for label, whole in (("cat", chelsea()), ("coffee", coffee())):
        (folder / label).mkdir(parents=True)
        for number in range(12):
            top, left = random.integers(0, whole.shape[0] - 200), random.integers(0, whole.shape[1] - 200)
            crop = np.ascontiguousarray(whole[top : top + 200, left : left + 200])
            (folder / label / f"{number}.jpg").write_bytes(jpeg(crop))


@dataclass(frozen=True)
class House:
    """A lookup service, what has been started beside it, and the folder that all of it works in."""

    folder: Path
    lookup: str
    environ: dict[str, str]
    stack: AsyncExitStack

    async def p2p(self, *arguments: str) -> str:
        """What a command prints that must succeed."""
        async with command(*arguments, environ=self.environ) as running:
            assert await running.ended(within_s=SLOWLY_S) == 0, running.output
            await until(lambda: running.process.stdout is None or running.process.stdout.at_eof(), within_s=20)
            return running.output

    async def worker(self, *arguments: str) -> Command:
        """A worker that serves."""
        flags = ("--engine", "tensorflow", *arguments)
        running = await self.stack.enter_async_context(command("worker", *flags, environ=self.environ))
        await until(lambda: "Serving " in running.output or not running.running, within_s=SLOWLY_S)
        assert running.running, running.output
        return running

    async def curl(self, service: str, photo: Path) -> Any:
        """The two steps, as a shell runs them."""
        line = f'curl -sS -F "data=@{photo}" "$(curl -sS {self.lookup}/next/{service})"'
        process = await asyncio.create_subprocess_shell(line, stdout=asyncio.subprocess.PIPE)
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        return json.loads(out)

    async def versions(self, service: str, lookups: int) -> Counter[str]:
        """How many of so many lookups named a worker of each version."""
        one = f'curl -sS -H "Accept: application/json" {self.lookup}/next/{service}; echo'
        line = f"for i in $(seq {lookups}); do {one}; done"
        process = await asyncio.create_subprocess_shell(line, stdout=asyncio.subprocess.PIPE)
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        return Counter(json.loads(named)["version"] for named in out.decode().splitlines())


@asynccontextmanager
async def house(consul: ConsulProcess, folder: Path) -> AsyncIterator[House]:
    port = free_port()
    lookup = f"http://127.0.0.1:{port}"
    environ = {
        "CONSUL_HTTP_ADDR": consul.url,
        "P2P_REGISTRY": lookup,
        "XDG_CACHE_HOME": str(folder / "cache"),
        "HOME": str(Path.home()),
    }
    async with AsyncExitStack() as stack:
        started = command("registry", "--port", str(port), "--state", "", "--service", "flowers", environ=environ)
        registry = await stack.enter_async_context(started)
        await until(lambda: "Lookup service on" in registry.output, within_s=60)
        yield House(folder, lookup, environ, stack)


async def test_from_photos_to_a_roll_out_and_a_cascade(shared_consul: ConsulProcess, tmp_path: Path) -> None:
    """Photos train a model, a running worker takes up its second version, half of the calls go to it, then copies, then
    all of them, and a cascade asks it; curl gets the right label all along."""
    photos(tmp_path / "photos")
    cat, models = tmp_path / "photos" / "cat" / "0.jpg", tmp_path / "models" / "flowers"
    retrain = ("retrain", "--image-dir", str(tmp_path / "photos"), "--out", str(models))
    async with house(shared_consul, tmp_path) as it:
        await it.p2p(*retrain)
        assert (models / "1" / "report" / "index.html").exists()
        await it.worker("--model", f"flowers={models}")
        assert await until(lambda: _answers(it, cat, "cat"), within_s=60)

        await it.p2p(*retrain, "--seed", "7")

        async def taken_up() -> bool:
            return set(await it.versions("flowers", 1)) == {"2"}

        await until(taken_up, within_s=SLOWLY_S)
        assert (await it.curl("flowers", cat))[0][0] == "cat"

        await it.worker("--model", f"flowers={models}", "--version-policy", "1")
        await it.p2p("split", "flowers", "1=50", "2=50")

        async def halved() -> bool:
            return set((await it.versions("flowers", 4)).values()) == {2}

        await until(halved, within_s=60)

        await it.p2p("split", "flowers", "1=100", "--shadow", "2=100%")

        async def compared() -> bool:
            # All photos, because a copy of the last call is given up when the command ends.
            await it.p2p("classify", str(tmp_path / "photos"), "--service", "flowers")
            (shown,) = (json.loads(line) for line in (await it.p2p("split", "flowers", "--json")).splitlines())
            rows = {row["version"]: row for row in shown["versions"]}
            return rows["2"]["share"] == 0 and (rows["2"]["shadow"]["agreement"] or 0) > 0.5

        await until(compared, within_s=120)

        await it.p2p("promote", "flowers", "2", "--over", "2s", "--steps", "2")

        async def promoted() -> bool:
            return await it.versions("flowers", 4) == {"2": 4}

        await until(promoted, within_s=60)

        pets = tmp_path / "pets.toml"
        await asyncio.to_thread(pets.write_text, '[steps.name]\nservice = "flowers"\nlabels = { cat = "pet" }\n')
        await it.worker("--cascade", str(pets), "--service", "pets")

        async def answers() -> bool:
            return bool((await it.curl("pets", cat))[0][0] == "pet")

        await until(answers, within_s=60)


async def _answers(it: House, photo: Path, label: str) -> bool:
    try:
        return bool((await it.curl("flowers", photo))[0][0] == label)
    except ValueError:  # nobody is handed out yet
        return False
