"""deploy/monitoring/prometheus.yml for a lookup service of a test, with the comments that an operator would turn on."""

from __future__ import annotations

import re
from pathlib import Path

MONITORING = Path(__file__).parents[3] / "deploy" / "monitoring"

_LOOKUP = "http://127.0.0.1:12480/sd/prometheus"
_SECRETS = "/etc/prometheus/"


def prometheus_settings(lookup: str, *turned_on: str, secrets: Path) -> str:
    """The file for the lookup service at `lookup`; `turned_on`: authorization (p2p-token), tls_config (p2p-ca.pem).

    The files in brackets are expected in `secrets`.
    """
    text = (MONITORING / "prometheus.yml").read_text()
    assert text.count(_LOOKUP) == 1
    text = text.replace(_LOOKUP, f"{lookup}/sd/prometheus").replace(_SECRETS, f"{secrets}/")
    for name in turned_on:
        text, count = re.subn(rf"^( *)# ({name}): ", r"\1\2: ", text, flags=re.MULTILINE)
        assert count == 2, f"{name} has {count} comments, not one for the service discovery and one for the scrapes"
    return text
