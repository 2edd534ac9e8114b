"""`p2p exec`: servers that nobody here wrote, run by the real command and registered in a real Consul."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import aiohttp
import pytest

import worker.registration
from registry.consul.catalog import Catalog, Checks
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Health, Instance
from tests.support.command_process import Command, command, free_port
from tests.support.consul_process import ConsulProcess
from tests.support.waiting import until
from worker.registration import Registration

SUPPORT = Path(__file__).parents[4] / "tests" / "support"
ANY_SERVER = SUPPORT / "servers" / "any_server.py"


class ExecRun:
    """What a test knows of one `p2p exec`: a service name of its own, the server's notes, Consul's word."""

    def __init__(self, consul: ConsulProcess, catalog: Catalog, folder: Path) -> None:
        self.service = f"any-{uuid.uuid4().hex[:8]}"
        self.folder = folder
        self._consul = consul
        self._catalog = catalog

    def run(self, *flags: str, server: list[str] | None = None) -> AbstractAsyncContextManager[Command]:
        """`p2p exec` of `server`, else of any_server.py; flags go before the command."""
        server = server or [sys.executable, str(ANY_SERVER), "{port}", str(self.folder)]
        environ = {"CONSUL_HTTP_ADDR": self._consul.url.removeprefix("http://")}
        return command("exec", "--service", self.service, "--drain", "0", *flags, "--", *server, environ=environ)

    async def instances(self) -> tuple[Instance, ...]:
        return (await self._catalog.health(self.service)).instances

    async def health(self) -> list[Health]:
        return [instance.health for instance in await self.instances()]

    async def passing(self) -> Instance:
        """Wait until it is registered and passes; the instance."""

        async def found() -> Instance | None:
            return next((i for i in await self.instances() if i.health is Health.PASSING), None)

        instance = await until(found, within_s=20)
        assert instance is not None
        return instance

    async def checks(self) -> list[str]:
        """The ids of its checks."""
        url = f"{self._consul.url}/v1/health/checks/{self.service}"
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            return [check["CheckID"] for check in await answer.json()]

    async def forget(self) -> None:
        """Take it out of the agent behind its back."""
        for instance in await self.instances():
            await self._catalog.deregister(instance.id)

    def notes(self, file: str) -> list[str]:
        path = self.folder / file
        return path.read_text().splitlines() if path.exists() else []

    def pid(self, file: str = "pid") -> int:
        return int(self.notes(file)[-1])


@pytest.fixture
async def exec_run(shared_consul: ConsulProcess, tmp_path: Path) -> AsyncIterator[ExecRun]:
    catalog = Catalog(ConsulSettings(url=shared_consul.url))
    yield ExecRun(shared_consul, catalog, tmp_path)
    await catalog.close()


async def get(instance: Instance, path: str = "/") -> int:
    async with aiohttp.ClientSession() as http, http.get(f"http://{instance.address}{path}") as answer:
        return answer.status


async def call(instance: Instance, path: str) -> None:
    """A GET that ends the server, which cannot answer then."""
    with pytest.raises(aiohttp.ClientError):
        await get(instance, path)


def alive(pid: int) -> bool:
    """Whether the process runs: a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


async def test_a_plain_file_server(exec_run: ExecRun) -> None:
    """python -m http.server gets a free port, is found in Consul by its service, and answers at that address."""
    server = [sys.executable, "-m", "http.server", "{port}"]
    async with exec_run.run("--tag", "files", "--tag", "slow", "--weight", "3", server=server) as running:
        instance = await exec_run.passing()
        assert instance.tags == ("p2p", "files", "slow")
        assert instance.weight == 3
        assert instance.id == f"{exec_run.service}-127.0.0.1-{instance.port}"
        assert await get(instance) == 200
        running.send(signal.SIGTERM)
        assert await running.ended() == 128 + signal.SIGTERM
    assert await exec_run.instances() == ()


@pytest.mark.skipif(importlib.util.find_spec("flask") is None, reason="flask is not installed")
async def test_a_flask_worker_as_in_the_article(exec_run: ExecRun) -> None:
    """A Flask worker is found in Consul and answers the article's multipart `data` with its labels."""
    async with exec_run.run(server=[sys.executable, str(SUPPORT / "servers" / "flask_worker.py"), "{port}"]):
        instance = await exec_run.passing()
        form = aiohttp.FormData()
        form.add_field("data", b"\xff\xd8" + bytes(998), filename="cat.jpg")
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"http://{instance.address}/", data=form) as answer,
        ):
            assert await answer.json() == [["an image of 1000 bytes", 0.9], ["something else", 0.1]]


async def test_port_in_the_environment(exec_run: ExecRun) -> None:
    """A command without {port} learns its port from the variable PORT."""
    server = ["sh", "-c", f"exec {sys.executable} -m http.server $PORT"]
    async with exec_run.run(server=server):
        assert await get(await exec_run.passing()) == 200


async def test_registered_only_when_it_answers(exec_run: ExecRun) -> None:
    """While the health path answers 503 the server is not registered; as soon as it answers 200 it is."""
    (exec_run.folder / "status").write_text("503")
    async with exec_run.run("--health-path", "/ping"):
        await until(lambda: exec_run.notes("asked")[3:], within_s=20)
        assert await exec_run.instances() == ()
        (exec_run.folder / "status").unlink()
        await exec_run.passing()
    assert set(exec_run.notes("asked")) == {"/ping"}


async def test_an_answer_that_is_no_2xx_does_not_count(exec_run: ExecRun) -> None:
    """A server that answers 404 is never registered: it is stopped, and the sentence names status and cures."""
    (exec_run.folder / "status").write_text("404")
    async with exec_run.run("--start-timeout", "1") as running:
        assert await running.ended() == 1
        assert "with a 2xx within 1 s (last: 404 Not Found)" in running.output
        assert "--health-path" in running.output
        assert "--start-timeout" in running.output
    assert "Registered" not in running.output
    assert not alive(exec_run.pid())


async def test_consul_asks_the_health_path_too(exec_run: ExecRun) -> None:
    """A server that fails later turns critical by Consul's own check, the only one, and passing again."""
    async with exec_run.run():
        instance = await exec_run.passing()
        assert await exec_run.checks() == [f"{instance.id}:http"]
        (exec_run.folder / "status").write_text("500")

        async def critical() -> bool:
            return await exec_run.health() == [Health.CRITICAL]

        await until(critical, within_s=20)
        (exec_run.folder / "status").unlink()
        await exec_run.passing()


async def test_it_leaves_before_it_is_stopped(exec_run: ExecRun) -> None:
    """SIGTERM: maintenance while the server goes on answering, deregistered before it hears of it; its code."""
    async with exec_run.run("--drain", "1") as running:
        instance = await exec_run.passing()
        running.send(signal.SIGTERM)

        async def out() -> bool:
            return await exec_run.health() == [Health.MAINTENANCE]

        await until(out)
        assert await get(instance) == 200
        assert exec_run.notes("heard") == []
        assert await running.ended() == 3
    assert exec_run.notes("heard") == ["SIGTERM"]
    assert instance.id not in json.loads((exec_run.folder / "known").read_text())


async def test_what_it_started_ends_with_it(exec_run: ExecRun) -> None:
    """The signal goes to the whole group; what the server started may finish, even if that one does not wait."""
    (exec_run.folder / "family").touch()
    async with exec_run.run() as running:
        await exec_run.passing()
        await until(lambda: exec_run.notes("ready"))
        running.send(signal.SIGTERM)
        assert await running.ended() == 3
        assert exec_run.notes("finished") == ["yes"]
        assert not alive(exec_run.pid("descendant"))


@pytest.mark.parametrize(("path", "code"), [("/exit?0", 0), ("/exit?3", 3), ("/die", 128 + signal.SIGKILL)])
async def test_a_server_that_ends_by_itself(exec_run: ExecRun, path: str, code: int) -> None:
    """Its exit code becomes ours, 128 + n for a death by signal n; when we end, it is deregistered already."""
    async with exec_run.run() as running:
        await call(await exec_run.passing(), path)
        assert await running.ended() == code
    assert await exec_run.instances() == ()


async def test_a_command_that_ends_at_once(exec_run: ExecRun) -> None:
    """It was never registered, its code becomes ours, and one sentence says so."""
    async with exec_run.run(server=[sys.executable, "-c", "raise SystemExit(3)"]) as running:
        assert await running.ended() == 3
    assert "The command ended with code 3 before it answered http://127.0.0.1:" in running.output
    assert "Registered" not in running.output


@pytest.mark.parametrize(
    ("server", "code", "why"),
    [("no-such-command", 127, "No such file"), (str(ANY_SERVER), 126, "Permission denied")],
)
async def test_a_command_that_cannot_be_started(exec_run: ExecRun, server: str, code: int, why: str) -> None:
    """Not found is 127 and not executable 126, as shells have it, with a sentence."""
    async with exec_run.run(server=[server]) as running:
        assert await running.ended() == code
    assert f"{server} cannot be started: {why}" in running.output


async def test_a_port_that_is_taken(exec_run: ExecRun) -> None:
    """A port that somebody holds is refused before anything is started, naming the flag."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with exec_run.run("--port", str(port)) as running:
            assert await running.ended() == 1
    assert f"Port {port} on 127.0.0.1 is taken by another program" in running.output
    assert exec_run.notes("pid") == []


async def test_a_server_on_all_addresses(exec_run: ExecRun) -> None:
    """With --host 0.0.0.0 the address of this machine's Consul agent is registered."""
    server = [sys.executable, "-m", "http.server", "--bind", "0.0.0.0", "{port}"]
    async with exec_run.run("--host", "0.0.0.0", server=server):
        instance = await exec_run.passing()
        assert instance.host == "127.0.0.1"
        assert await get(instance) == 200


async def test_consul_refuses(exec_run: ExecRun) -> None:
    """What Consul does not take (0.0.0.0 is no address) is an error with its words, and the server is stopped."""
    async with exec_run.run("--advertise", "0.0.0.0") as running:
        assert await running.ended() == 1
    assert "refused" in running.output
    assert not alive(exec_run.pid())


async def test_consul_is_away(exec_run: ExecRun) -> None:
    """Without Consul the server serves unregistered; it is stopped as ever."""
    port = free_port()
    async with exec_run.run("--port", str(port), "--consul", f"http://127.0.0.1:{free_port()}") as running:
        await until(lambda: "Serving unregistered, trying again." in running.output, within_s=20)
        assert await get(Instance("", "", "127.0.0.1", port)) == 200
        running.send(signal.SIGTERM)
        assert await running.ended() == 3


@contextmanager
def answering(port: int) -> Iterator[None]:
    """A web server in this very process."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", port), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


async def test_a_port_that_somebody_else_took_meanwhile(exec_run: ExecRun) -> None:
    """An older process that answers on the port is not taken for the command, and is named."""
    port = free_port()
    server = [sys.executable, "-c", "import time; time.sleep(600)"]
    async with exec_run.run("--port", str(port), "--start-timeout", "2", server=server) as running:
        await until(lambda: "Started" in running.output, within_s=20)
        with answering(port):
            assert await running.ended() == 1
    assert f"port {port} was taken by process {os.getpid()}, " in running.output
    assert "Registered" not in running.output


async def test_kill_9_ends_the_server_too(exec_run: ExecRun) -> None:
    """Should we be killed, the server does not outlive us, not even one that ignores SIGTERM."""
    (exec_run.folder / "stubborn").touch()
    async with exec_run.run() as running:
        await exec_run.passing()
        assert alive(exec_run.pid())
        running.send(signal.SIGKILL)
        await until(lambda: not alive(exec_run.pid()))


async def test_a_stubborn_server_is_killed(exec_run: ExecRun) -> None:
    """A server that ignores SIGTERM is killed after the stop timeout, its group with it."""
    (exec_run.folder / "family").touch()
    (exec_run.folder / "stubborn").touch()
    async with exec_run.run("--stop-timeout", "0.5") as running:
        await exec_run.passing()
        running.send(signal.SIGTERM)
        assert await running.ended() == 128 + signal.SIGKILL
    assert exec_run.notes("heard") == ["SIGTERM"]
    assert not alive(exec_run.pid("descendant"))


@pytest.mark.parametrize("flags", [("--drain", "600"), ("--drain", "0", "--stop-timeout", "600")])
async def test_a_second_signal_forces(exec_run: ExecRun, flags: tuple[str, ...]) -> None:
    """A second signal cuts the drain grace, or the wait for a stubborn server, short; it is deregistered still."""
    (exec_run.folder / "stubborn").touch()
    async with exec_run.run(*flags) as running:
        await exec_run.passing()
        running.send(signal.SIGTERM)
        await until(lambda: "Leaving the rotation" in running.output)
        running.send(signal.SIGINT)
        assert await running.ended() == 128 + signal.SIGKILL
    assert await exec_run.instances() == ()


async def test_a_signal_while_it_starts(exec_run: ExecRun) -> None:
    """SIGTERM before the server answers stops it at once: there is no rotation to leave."""
    (exec_run.folder / "status").write_text("503")
    async with exec_run.run("--drain", "600") as running:
        await until(lambda: exec_run.notes("asked"), within_s=20)
        running.send(signal.SIGTERM)
        assert await running.ended() == 3
    assert "Registered" not in running.output


async def test_other_signals_are_passed_on(exec_run: ExecRun) -> None:
    """Signals that mean reload or rotate to a server reach it, and it stays in the rotation."""
    async with exec_run.run() as running:
        await exec_run.passing()
        for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
            running.send(number)
            await until(lambda name=number.name: exec_run.notes("heard")[-1:] == [name])
        assert await exec_run.health() == [Health.PASSING]


async def test_nohup_holds_for_the_server_too(exec_run: ExecRun) -> None:
    """Started with SIGHUP ignored, as nohup does, a hang-up is not passed on; other signals are."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        async with exec_run.run() as running:
            await exec_run.passing()
            running.send(signal.SIGHUP)
            running.send(signal.SIGUSR1)
            await until(lambda: "SIGUSR1" in exec_run.notes("heard"))
            assert exec_run.notes("heard") == ["SIGUSR1"]
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_standard_input_is_passed_through(tmp_path: Path) -> None:
    """What comes on standard input is the command's to read, and what it writes comes out of ours."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "p2pclient", "exec", "--service", "cat", "--", "cat"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await process.communicate(b"through and through")
    assert (out, process.returncode) == (b"through and through", 0)


async def test_an_agent_that_forgot_it_hears_again(exec_run: ExecRun) -> None:
    """With no heartbeat to tell, an agent that does not know the server any more does so again within 10 s."""
    async with exec_run.run() as running:
        first = await exec_run.passing()
        await exec_run.forget()
        assert await exec_run.instances() == ()
        again = await until(exec_run.instances, within_s=10)
        assert (again[0].id, again[0].boot) == (first.id, first.boot)
        assert running.running


async def test_what_hangs_does_not_come_back_as_passing(
    exec_run: ExecRun, shared_consul: ConsulProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reaped while it is not fit, an instance is registered again only when it is."""
    monkeypatch.setattr(worker.registration, "HEARTBEAT_S", 0.1)
    answers, fit = [0], False

    async def is_fit() -> bool:
        answers[0] += 1
        return fit

    instance = Instance(exec_run.service, f"{exec_run.service}-127.0.0.1-9001", "127.0.0.1", 9001)
    checks = Checks(f"{shared_consul.url}/v1/status/leader", ttl_s=None)
    async with Registration(ConsulSettings(url=shared_consul.url), instance, checks, fit=is_fit):
        assert await exec_run.health() == [Health.PASSING]
        await exec_run.forget()
        await until(lambda: answers[0] >= 3)
        assert await exec_run.instances() == ()
        fit = True
        await exec_run.passing()
