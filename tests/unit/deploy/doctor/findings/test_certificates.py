"""What certificates mean."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from deploy.doctor.finding import Level, worst
from deploy.doctor.findings.certificates import CertificateFile, TlsFacts, findings

NOW = datetime(2026, 11, 28, tzinfo=UTC)
GOOD = CertificateFile("--tls-cert", "a.pem", expires=NOW + timedelta(days=60))
WELL = TlsFacts([GOOD], serves=True, host="10.0.0.5")


@pytest.mark.parametrize(
    ("facts", "level", "says"),
    [
        (WELL, Level.OK, "Clients trust --tls-cert at 10.0.0.5"),
        (TlsFacts([]), Level.OK, ""),
        (replace(WELL, files=[replace(GOOD, expires=NOW + timedelta(days=3))]), Level.WARNING, "in 3 days"),
        (replace(WELL, files=[replace(GOOD, expires=NOW)]), Level.ERROR, "expired"),
        (replace(WELL, files=[CertificateFile("P2P_CA", "b.pem", "No such file")]), Level.ERROR, "No such file"),
        (replace(WELL, handshake_fault="unable to get issuer"), Level.ERROR, "between"),
        (replace(WELL, untried=True), Level.WARNING, "P2P_CA"),
        (replace(WELL, readable_key="a.key"), Level.WARNING, "chmod 600 a.key"),
    ],
)
def test_certificates(facts: TlsFacts, level: Level, says: str) -> None:
    """Files are usable and valid, the chain is trusted, the key is private."""
    found = findings(facts, now=NOW)
    assert worst(found) is level
    assert says in " ".join(f"{finding.what} {finding.cure}" for finding in found)
