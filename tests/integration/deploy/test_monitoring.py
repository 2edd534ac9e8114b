"""The files in deploy/monitoring, run by a real Prometheus: its targets, its rules, and what the dashboards ask for."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from registry.consul.settings import ConsulSettings
from registry.security.access_settings import AccessSettings
from registry.server import running
from registry.settings import RegistrySettings
from tests.support.command_process import free_port
from tests.support.consul_process import ConsulProcess
from tests.support.photos import chelsea_jpeg
from tests.support.security.token_file import OPERATOR, write_tokens
from tests.support.servers.prometheus_binary import Prometheus, find_or_skip
from tests.support.servers.prometheus_settings import MONITORING, prometheus_settings
from tests.support.waiting import until
from tests.support.workers.echo_worker import echo_worker

_METRIC = re.compile(r"\bp2p_[a-z0-9_]+")


@pytest.fixture(scope="module")
def prometheus() -> Prometheus:
    return find_or_skip()


@pytest.mark.parametrize("check", [("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")])
def test_promtool_accepts_the_files(prometheus: Prometheus, check: tuple[str, ...]) -> None:
    """The configuration is valid, and every alert fires when it should and stays silent when it should."""
    done = subprocess.run([prometheus.promtool, *check], cwd=MONITORING, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_settings_for_dns_are_valid(prometheus: Prometheus, tmp_path: Path) -> None:
    """The second scrape configuration, by Consul's DNS, is a comment; without the signs it is what Prometheus takes."""
    before, _, dns = (MONITORING / "prometheus.yml").read_text().partition("  # - job_name: p2p-dns\n")
    commented = re.sub("^  # ", "  ", "  # - job_name: p2p-dns\n" + dns, flags=re.MULTILINE)
    (tmp_path / "prometheus.yml").write_text(before + commented)
    shutil.copy(MONITORING / "alerts.yml", tmp_path)
    check = [prometheus.promtool, "check", "config", tmp_path / "prometheus.yml"]
    done = subprocess.run(check, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test_and_an_entry_in_the_guide() -> None:
    """No alert is added without a case in which it fires, and an operator finds it in docs/guide/operations.md."""
    alerts = re.findall(r"- alert: (\w+)", (MONITORING / "alerts.yml").read_text())
    tested = (MONITORING / "alerts_test.yml").read_text()
    guide = (MONITORING.parents[1] / "docs" / "guide" / "operations.md").read_text()
    assert len(alerts) > 8
    assert [alert for alert in alerts if f"alertname: {alert}\n        exp_alerts" not in tested] == []
    assert [alert for alert in alerts if f"`{alert}`" not in guide] == []


class Asked:
    """A running Prometheus, asked over its HTTP API."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url = url
        self._http = http

    async def get(self, path: str) -> Any:
        """What the API answers; None while Prometheus does not answer yet."""
        try:
            async with self._http.get(f"{self._url}/api/v1/{path}") as answer:
                return (await answer.json())["data"] if answer.status == 200 else None
        except aiohttp.ClientError:
            return None

    async def targets(self) -> list[dict[str, Any]]:
        found = await self.get("targets?state=active")
        return found["activeTargets"] if found else []


@asynccontextmanager
async def scraping(prometheus: Prometheus, lookup: str, folder: Path, *turned_on: str) -> AsyncIterator[Asked]:
    """Prometheus with deploy/monitoring/prometheus.yml, whose lookup service is at `lookup`, scraping every second.

    `turned_on`: the comments of the file that are settings here; their secrets are in `folder`.
    """
    settings = prometheus_settings(lookup, *turned_on, secrets=folder)
    (folder / "prometheus.yml").write_text(settings.replace("15s", "1s"))
    (folder / "alerts.yml").write_text((MONITORING / "alerts.yml").read_text())
    address = f"127.0.0.1:{free_port()}"
    options = {"config.file": folder / "prometheus.yml", "storage.tsdb.path": folder, "web.listen-address": address}
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            prometheus.prometheus, *(f"--{name}={value}" for name, value in options.items()), stdout=log, stderr=log
        )
    try:
        async with aiohttp.ClientSession() as http:
            yield Asked(f"http://{address}", http)
    finally:
        process.terminate()
        await process.wait()


async def test_a_real_prometheus_scrapes_every_worker_and_the_lookup(
    prometheus: Prometheus, consul: ConsulProcess, tmp_path: Path
) -> None:
    """Two workers and the lookup service are up; every rule can be evaluated; dashboards and alerts ask for what is."""
    keys = tmp_path / "keys"
    settings = RegistrySettings(ConsulSettings(url=consul.url), port=0, service="echo", ticket_keys=keys)
    async with (
        running(settings) as registry,
        echo_worker(consul.url) as one,
        echo_worker(consul.url) as other,
        scraping(prometheus, registry.url, tmp_path) as asked,
    ):

        async def all_up() -> bool:
            found = await asked.targets()
            return len(found) == 3 and all(target["health"] == "up" for target in found)

        await until(all_up, within_s=60)
        targets = await asked.targets()
        addresses = {target["labels"]["instance"] for target in targets if target["labels"]["role"] == "worker"}
        assert {f"http://{address}" for address in addresses} == {one.url, other.url}
        assert {target["labels"].get("service") for target in targets} == {None, "echo"}
        for worker in (one, other):
            assert (await worker.post("/", chelsea_jpeg())).status == 200

        async def all_known() -> bool:
            names = await asked.get("label/__name__/values")
            return wanted() <= {*names}

        await until(all_known, within_s=30)
        rules = [rule for group in (await asked.get("rules"))["groups"] for rule in group["rules"]]
        assert [rule for rule in rules if rule["health"] == "err"] == []


async def test_prometheus_shows_an_operators_token(
    prometheus: Prometheus, shared_consul: ConsulProcess, tmp_path: Path
) -> None:
    """A lookup service with tokens is found and scraped when the comments about the token are turned on."""
    (tmp_path / "p2p-token").write_text(OPERATOR)
    access = AccessSettings(tokens=write_tokens(tmp_path))
    settings = RegistrySettings(ConsulSettings(url=shared_consul.url), port=0, access=access)
    async with (
        running(settings) as registry,
        scraping(prometheus, registry.url, tmp_path, "authorization") as asked,
    ):

        async def up() -> bool:
            return [target["health"] for target in await asked.targets()] == ["up"]

        await until(up, within_s=60)


def wanted() -> set[str]:
    """The metrics that alerts, dashboards and Kubernetes' autoscaler ask for, but for recorded ones and that of TLS."""
    dashboards = [json.loads(path.read_text()) for path in (MONITORING / "grafana").glob("*.json")]
    asked = [target["expr"] for dashboard in dashboards for panel in dashboard["panels"] for target in panel["targets"]]
    rules = re.findall(r"expr: ([^\n]+|\|\n(?: {10,}[^\n]+\n)+)", (MONITORING / "alerts.yml").read_text())
    autoscaler = MONITORING.parent / "kubernetes" / "base" / "autoscaler.yaml"
    scaled = re.findall(r"^ *metric: .*$", autoscaler.read_text(), re.MULTILINE)
    assert len(scaled) == 1
    names = {name for text in (*asked, *rules, *scaled) for name in _METRIC.findall(text)}
    return names - {"p2p_certificate_expiry_timestamp_seconds"}
