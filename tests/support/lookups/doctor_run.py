"""Runs the checks of `p2p doctor` in this process, and gives its findings group by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.doctor.examine import examine
from deploy.doctor.finding import Finding, Level
from deploy.doctor.settings import DoctorSettings
from registry.consul.settings import ConsulSettings
from tests.support.command_process import free_port


async def doctor_findings(
    consul_url: str,
    *,
    token: str | None = None,
    lookup_token: str | None = None,
    cache: Path = Path("/tmp"),
    **settings: Any,
) -> Mapping[str, Sequence[Finding]]:
    """The findings by the name of their group; unless told otherwise no lookup service runs.

    `token` is Consul's, `lookup_token` that for lookup services.
    """
    nobody = (f"http://127.0.0.1:{free_port()}",)
    consul = ConsulSettings(url=consul_url, token=token)
    groups = await examine(DoctorSettings(consul, cache, token=lookup_token, **{"lookups": nobody} | settings))
    return {group.name: group.findings for group in groups}


def faults(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    """Level and text, with the cure, of each finding that is not all right."""
    return [(f.level.name.lower(), f"{f.what} {f.cure}") for f in findings if f.level is not Level.OK]
