"""How the health of a worker is to be checked, as a plain value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Checks:
    """How the health of a worker is checked.

    `health_url`, where given, is fetched, by Consul's agent or by whoever checks in its place: 2xx means passing, 429
    warning, anything else critical. Over https Consul's agent must trust the certificate, made out to the URL's host
    or to `tls_server_name`. `ttl_s`, where given, adds a check that turns critical when no heartbeat has come for that
    long. Consul deregisters a worker that was critical for `reap_after_s`.
    """

    health_url: str | None
    tls_server_name: str | None = None
    interval_s: float = 2.0
    timeout_s: float = 1.0
    failures_before_critical: int = 2
    ttl_s: float | None = 15.0
    reap_after_s: int = 60
