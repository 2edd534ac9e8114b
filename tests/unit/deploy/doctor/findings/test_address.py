"""What the advertised address means, and what the lookup service reaches."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_interface

from deploy.doctor.finding import Level, worst
from deploy.doctor.findings.address import AddressFacts, RegisteredAddress, findings
from worker.advertising.choice import InterfaceAddress

OWN = (InterfaceAddress("eth0", ip_interface("10.0.0.5/24")),)
WELL = AddressFacts("10.0.0.5", "", "", OWN, [RegisteredAddress("w1", "10.0.0.5:7001", True, "")], asked=True)


def test_an_address_of_this_host() -> None:
    """Its interface is named; one behind NAT is said to be none of this host's."""
    assert "eth0 of this host" in findings(WELL, worker=True)[0].what
    assert "no address of this host itself" in findings(replace(WELL, host="203.0.113.9"), worker=True)[0].what
    assert worst(findings(WELL, worker=True)) is Level.OK


def test_an_address_that_cannot_be_used() -> None:
    """Where a worker would end with a sentence, that is the finding."""
    for broken in (replace(WELL, host="", trouble="There is none."), replace(WELL, loopback="127.0.0.1 is ...")):
        found = findings(broken, worker=True)[0]
        assert (found.level, "--advertise" in found.cure) == (Level.ERROR, True)


def test_what_the_lookup_service_cannot_reach() -> None:
    """An error for what is of this host, a warning for others'."""
    entries = [RegisteredAddress(f"w{here}", "a:1", here, "no answer within 1 s") for here in (True, False)]
    found = findings(replace(WELL, registered=entries), worker=False)
    assert [finding.level for finding in found] == [Level.ERROR, Level.WARNING]
    assert all("no answer within 1 s" in finding.what for finding in found)


def test_nothing_is_registered_yet() -> None:
    """That is said, and is no fault."""
    (found,) = findings(replace(WELL, registered=[]), worker=False)
    assert (found.level, "Nothing is registered" in found.what) == (Level.OK, True)
