"""`p2p exec --scheme https`: a server that speaks TLS is registered as one, and Consul's check verifies it."""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

from registry.consul.catalog import Catalog
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Instance
from tests.support.command_process import command
from tests.support.consul_process import ConsulProcess
from tests.support.security.certificates import Authority
from tests.support.waiting import until

TLS_SERVER = Path(__file__).parents[3] / "support" / "servers" / "tls_server.py"


async def registered(consul: ConsulProcess) -> Instance | None:
    catalog = Catalog(ConsulSettings(url=consul.url))
    try:
        return next(iter((await catalog.health("pages")).instances), None)
    finally:
        await catalog.close()


def check_of(consul: ConsulProcess) -> dict[str, Any]:
    with urllib.request.urlopen(f"{consul.url}/v1/agent/checks", timeout=5) as answer:
        (check,) = json.load(answer).values()
    return dict(check)


async def test_a_server_over_tls_is_registered_and_checked(consul_binary: Path, tmp_path: Path) -> None:
    """Consul trusts its authority and finds it well; `p2p exec` itself need not trust it."""
    authority = Authority(tmp_path / "ca")
    pem = authority.sign("server")
    consul = ConsulProcess(consul_binary, tmp_path / "consul", check_ca=authority.ca)
    consul.start()
    try:
        server = [sys.executable, str(TLS_SERVER), "{port}", str(pem.cert), str(pem.key)]
        flags = ["--service", "pages", "--drain", "0", "--scheme", "https"]
        environ = {"CONSUL_HTTP_ADDR": consul.url.removeprefix("http://")}
        async with command("exec", *flags, "--", *server, environ=environ):
            instance = await until(lambda: registered(consul), within_s=20)
            assert instance is not None
            assert (instance.origin, instance.meta["scheme"]) == (f"https://{instance.address}", "https")
            await until(lambda: "200 OK" in check_of(consul)["Output"], within_s=20)
            assert check_of(consul)["Status"] == "passing"
    finally:
        consul.stop()
