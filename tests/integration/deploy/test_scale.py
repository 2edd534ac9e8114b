"""`p2p scale`: a running `p2p up` grows and shrinks, and serves all the while."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import aiohttp
import pytest

from deploy.control_socket import accepting_control, ask_to_scale, control_path
from registry.runtime.errors import SettingsError
from tests.support.command_process import children_of, command
from tests.support.consul_process import ConsulProcess
from tests.support.lookups.running_up import running_up


async def requests_until(done: asyncio.Event, port: int) -> list[int]:
    """Images sent one after another through lookups of a worker; the statuses."""
    statuses = []
    async with aiohttp.ClientSession() as session:
        while not done.is_set():
            async with session.get(f"http://127.0.0.1:{port}/next") as answer:
                address = (await answer.text()).strip()
            image = Path("deploy/cat.jpg").read_bytes()
            async with session.post(f"http://{address}/", data=image) as answer:
                statuses.append(answer.status)
    return statuses


async def test_it_grows_and_shrinks_while_clients_send(consul: ConsulProcess, tmp_path: Path) -> None:
    """From one worker to three, and back to one: no request fails, and each command returns when it is so."""
    state = {"XDG_STATE_HOME": str(tmp_path)}
    async with running_up(consul, state) as (settings, lines, _):
        done = asyncio.Event()
        requests = asyncio.create_task(requests_until(done, settings.port))
        before = len(children_of(os.getpid()))
        for count, sentence in ((3, "3 workers of classify serve."), (1, "1 worker of classify serves.")):
            async with command("scale", str(count), "--port", str(settings.port), environ=state) as scale:
                assert await scale.ended(within_s=60) == 0, scale.output
            assert scale.output == sentence
            assert len(children_of(os.getpid())) == before + count - 1
        done.set()
        statuses = await requests
        assert set(statuses) == {200}
        assert "Workers: 3 in place of 1 ..." in lines
        path = control_path(settings.environ, settings.port)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert lines[-1] == "All stopped."
    assert not path.exists()


async def test_a_command_without_its_up_says_so(tmp_path: Path) -> None:
    """Where no p2p up with that port runs, the error names the socket that was tried."""
    async with command("scale", "2", "--port", "12499", environ={"XDG_STATE_HOME": str(tmp_path)}) as scale:
        assert await scale.ended() == 1
    assert scale.output == (
        f"error: No p2p up of this user answers at {tmp_path}/p2p-serving/up-12499.sock (No such file or directory): "
        "start it, or name its --port."
    )


async def test_what_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    """Lines that are no request are answered with what one looks like; a request that fails with the reason."""
    asked = []

    async def scale(count: int) -> str:
        asked.append(count)
        if count == 7:
            raise SettingsError("Only 2 of 7 workers run.")
        return "done"

    path = tmp_path / "state" / "up.sock"
    async with accepting_control(path, scale):
        for line in (b"\n", b"scale\n", b"scale 0\n", b"scale -1\n", b"scale 1001\n", b"stop 1\n", b"\xff\n"):
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(line)
            assert (await reader.read()).endswith(b"cannot be done: send scale and a number from 1 to 1000.\n")
            writer.close()
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"x" * 5000)
        assert await reader.read() == b""
        writer.close()
        assert asked == []
        assert await ask_to_scale(path, 2) == "done"
        with pytest.raises(SettingsError, match="Only 2 of 7 workers run"):
            await ask_to_scale(path, 7)
        assert asked == [2, 7]
    with pytest.raises(SettingsError, match="No p2p up of this user answers"):
        await ask_to_scale(path, 2)


async def test_a_path_that_no_socket_can_have_is_said(tmp_path: Path) -> None:
    """A state folder with a long name, or one that cannot be written to, is an error of one sentence."""

    async def scale(count: int) -> str:
        return str(count)

    with pytest.raises(SettingsError, match="is too long for a socket"):
        async with accepting_control(tmp_path / ("x" * 120) / "up.sock", scale):
            pass
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot be made: Not a directory"):
        async with accepting_control(tmp_path / "file" / "state" / "up.sock", scale):
            pass
