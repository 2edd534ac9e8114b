"""A real Prometheus on a machine, with the files of deploy/monitoring; it watches a fleet with TLS and tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from tests.support.machines.machine import Machine
from tests.support.servers.prometheus_settings import MONITORING, prometheus_settings

_FOLDER = Path("/srv/prometheus")
_API = "http://127.0.0.1:9090/api/v1"


class PrometheusMachine:
    """The machine on which Prometheus runs. All calls block."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.started = False

    def start(self, binary: Path, *, lookup: str, authority: Path, token: str) -> None:
        """Scrape from now on what this lookup service names; `token` is an operator's."""
        self._machine.run("mkdir", "-p", str(_FOLDER))
        for source, name in ((binary, "prometheus"), (authority, "p2p-ca.pem"), (MONITORING / "alerts.yml", "")):
            self._machine.put(source, f"{_FOLDER}/{name or source.name}")
        self._machine.write(f"{_FOLDER}/p2p-token", token)
        settings = prometheus_settings(lookup, "authorization", "tls_config", secrets=_FOLDER)
        self._machine.write(f"{_FOLDER}/prometheus.yml", settings)
        options = {
            "config.file": f"{_FOLDER}/prometheus.yml",
            "storage.tsdb.path": f"{_FOLDER}/data",
            "web.listen-address": "127.0.0.1:9090",
        }
        program = (f"{_FOLDER}/prometheus", *(f"--{name}={value}" for name, value in options.items()))
        self._machine.run("systemd-run", "--quiet", "--unit", "prometheus", *program)
        self.started = True

    def targets(self) -> Mapping[str, str]:
        """What each target's last scrape came to: "up", or the complaint; none while Prometheus starts."""
        found = self._ask("targets?state=active") or {"activeTargets": []}
        return {
            each["labels"]["instance"]: each["health"] if each["health"] == "up" else each["lastError"] or "unknown"
            for each in found["activeTargets"]
        }

    def firing(self) -> Set[str]:
        """The alerts that fire now."""
        return {each["labels"]["alertname"] for each in self._ask("alerts")["alerts"] if each["state"] == "firing"}

    def fired(self) -> Set[str]:
        """The alerts that have fired since the start, in the last day at most."""
        query = 'max_over_time(ALERTS{alertstate="firing"}[1d])'
        found = self._ask("query", "--data-urlencode", f"query={query}")
        return {each["metric"]["alertname"] for each in found["result"]}

    def broken_rules(self) -> Mapping[str, str]:
        """The rules that cannot be evaluated, with the complaint."""
        rules = [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]
        return {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] == "err"}

    def _ask(self, path: str, *options: str) -> Any:
        """What the API answers; None where it does not answer."""
        script = ("curl", "--silent", "--get", *options, f"{_API}/{path}")
        said = self._machine.run("sh", "-c", '"$@" || true', "sh", *script)
        return json.loads(said)["data"] if said.startswith("{") else None
