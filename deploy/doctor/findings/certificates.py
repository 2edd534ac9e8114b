"""What the certificates in files mean. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from deploy.doctor.finding import Finding, error, ok, warning

SOON = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class CertificateFile:
    """A PEM file that `setting` names: when the first certificate in it to expire does, or why it is of no use."""

    setting: str
    path: str
    fault: str = ""
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """The files; and for --tls-cert why a client would not trust the server at `host`, "" if it would.

    `readable_key`: the key's file, where others than its owner may read that. `untried`: no authority is named with
    which to try.
    """

    files: Sequence[CertificateFile]
    serves: bool = False
    host: str = ""
    handshake_fault: str = ""
    untried: bool = False
    readable_key: str = ""


def findings(facts: TlsFacts, *, now: datetime) -> list[Finding]:
    """Files are good and valid, the server's chain is trusted for the address at which it is reached."""
    found = [_file(file, now) for file in facts.files]
    if facts.readable_key:
        found.append(
            warning(
                f"Other users of this host may read the key in {facts.readable_key}.", f"chmod 600 {facts.readable_key}"
            )
        )
    if facts.serves and not any(file.fault for file in facts.files):
        found.append(_handshake(facts))
    return found


def _file(file: CertificateFile, now: datetime) -> Finding:
    where = f"{file.setting} {file.path}"
    if file.fault or file.expires is None:
        return error(f"{where} cannot be used: {file.fault}.", "Name PEM files that this user may read.")
    left = file.expires - now
    until = f"{file.expires:%Y-%m-%d %H:%M} UTC"
    cure = "Renew it and replace the file: running servers read it again."
    if left <= timedelta():
        return error(f"The certificate in {where} expired on {until}.", cure)
    if left <= SOON:
        return warning(f"The certificate in {where} expires in {left.days} days, on {until}.", cure)
    return ok(f"The certificate in {where} is valid until {until}.")


def _handshake(facts: TlsFacts) -> Finding:
    if facts.untried:
        return warning(
            "Whether clients trust --tls-cert was not tried: no authority is known.",
            "Name the file of the authority that signed it in P2P_CA.",
        )
    if facts.handshake_fault:
        return error(
            f"Clients do not trust --tls-cert at {facts.host}: {facts.handshake_fault}.",
            "Put the certificates of the authorities between into --tls-cert after the server's own, have it name "
            f"{facts.host} (subjectAltName), and name the root's file in P2P_CA.",
        )
    return ok(f"Clients trust --tls-cert at {facts.host}.")
