"""`p2p up` as a function: real children with the echo engine, which needs no framework."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from deploy.local import up
from deploy.up_settings import UpSettings
from deploy.worker_pool import EndedEarlyError
from registry.runtime.errors import SettingsError
from registry.runtime.tls.server import TlsFiles
from registry.runtime.tls.trust import TrustFiles
from tests.support import photos
from tests.support.command_process import children_of, free_port
from tests.support.consul_process import ConsulProcess
from tests.support.lookups.running_up import running_up
from tests.support.security.certificates import Authority
from tests.support.security.token_file import CLIENT, bearer, write_tokens


def arguments_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


async def test_the_consul_flag_holds_for_the_children(consul: ConsulProcess) -> None:
    """`p2p up --consul` is used by all it starts, although P2P_CONSUL, which they read too, names another."""
    elsewhere = f"http://127.0.0.1:{free_port()}"
    others = set(children_of(os.getpid()))  # of tests before this one in the same process
    names = ("P2P_CONSUL", "P2P_WORKER_CONSUL", "P2P_REGISTRY_CONSUL", "CONSUL_HTTP_ADDR")
    async with running_up(consul, dict.fromkeys(names, elsewhere)) as (settings, lines, task):
        url = f"http://127.0.0.1:{settings.port}/next"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert answer.status == 200
        children = set(children_of(os.getpid())) - others
        assert len(children) == 2
    await task
    assert "Workers: starting 1 with no model (the engine echo) ..." in lines
    assert lines[-1] == "All stopped."
    assert not [pid for pid in children if os.path.exists(f"/proc/{pid}/exe")]


async def test_the_end_of_the_last_worker_ends_it(consul: ConsulProcess) -> None:
    """Without a worker the rest cannot serve: the error names the child and how it ended."""
    async with running_up(consul, {}) as (_, lines, task):
        (worker,) = [pid for pid in children_of(os.getpid()) if "worker" in arguments_of(pid)]
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(EndedEarlyError, match="worker 1 was ended by SIGKILL"):
            await task
    assert lines[-1] == "All stopped."


async def test_it_needs_a_certificate_where_clients_do(tmp_path: Path) -> None:
    """With --tls-client-ca it says so before anything is started, since it would wait for its own parts for ever."""
    authority = Authority(tmp_path)
    pem = authority.sign("server")
    tls = TlsFiles(pem.cert, pem.key, authority.ca)
    settings = UpSettings({}, port=free_port(), tls=tls, trust=TrustFiles(authority.ca))
    with pytest.raises(SettingsError, match="--cert and --key"):
        await up(settings, asyncio.Event(), write_line=print)


async def test_curl_reaches_workers_that_require_tickets(consul: ConsulProcess, tmp_path: Path) -> None:
    """With --ticket-keys the lines of the documents work as they are, and a worker without its ticket answers 401."""
    (tmp_path / "token.txt").write_text("Authorization: Bearer nobody-asks-for-it\n")
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(photos.chelsea_jpeg())
    async with running_up(consul, {}, ticket_keys=tmp_path / "keys") as (settings, _, _):
        here = f"localhost:{settings.port}"
        lines = (
            f'curl -s -F data=@{photo} "$(curl -s 127.0.0.1:{settings.port}/next)"',
            f'curl -s -F data=@{photo} "$(curl -s -H @{tmp_path}/token.txt 127.0.0.1:{settings.port}/next)"',
            f"curl -s -F data=@{photo} localhost:`curl -s {here}`",
            f"curl -s -L -F data=@{photo} {here}",
            f"curl -s -L -H 'Expect: 100-continue' -F data=@{photo} {here}/to/classify/",
            f"{sys.executable} -m p2pclient classify --registry {here} --json {photo}",
            f"{sys.executable} -m p2pclient status --registry {here}",
        )
        for line in lines:
            assert re.search("width|echo", await printed(line)), line
        refused = await printed(f"curl -s -F data=@{photo} $(curl -s {here}/next | cut -d/ -f1)")
        assert "A ticket is needed here" in refused


async def printed(line: str) -> str:
    """What a line of the shell writes."""
    shell = await asyncio.create_subprocess_shell(line, stdout=asyncio.subprocess.PIPE)
    out, _ = await shell.communicate()
    return out.decode()


async def test_tokens_hold_for_the_lookup_service_and_the_workers(consul: ConsulProcess, tmp_path: Path) -> None:
    """`p2p up --tokens`: it becomes ready although it has no token itself, and answers callers of the file only."""
    async with (
        running_up(consul, {}, tokens=write_tokens(tmp_path)) as (settings, lines, _),
        aiohttp.ClientSession() as http,
    ):
        registry = f"http://127.0.0.1:{settings.port}"
        async with http.get(f"{registry}/next") as refused:
            assert refused.status == 401
        async with http.get(f"{registry}/next", headers=bearer(CLIENT)) as answer:
            worker = f"http://{(await answer.text()).strip()}"
        async with http.post(worker, data=photos.chelsea_jpeg()) as refused:
            assert refused.status == 401
        async with http.post(worker, data=photos.chelsea_jpeg(), headers=bearer(CLIENT)) as answer:
            assert answer.status == 200
    assert "They answer callers of" in "\n".join(lines)
