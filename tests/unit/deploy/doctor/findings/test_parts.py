"""What the installed versions mean."""

from __future__ import annotations

from deploy.doctor.finding import Level
from deploy.doctor.findings.parts import PartsFacts, findings

VERSIONS = {"p2p-serving": "0.1.0", "p2p-serving-client": "0.1.0"}


def test_both_distributions_are_of_one_version() -> None:
    """A client of another version is an error."""
    assert [f.level for f in findings(PartsFacts("3.11", VERSIONS, ["onnx"]), worker=True, asked=True)] == [
        Level.OK,
        Level.OK,
    ]
    mixed = VERSIONS | {"p2p-serving-client": "0.2.0"}
    (broken,) = findings(PartsFacts("3.11", mixed, []), worker=False, asked=False)
    assert broken.level is Level.ERROR


def test_a_worker_needs_an_engine() -> None:
    """Without one the extras are named; where nobody said that the host is to be a worker, that is no fault."""
    *_, found = findings(PartsFacts("3.11", VERSIONS, []), worker=True, asked=True)
    assert (found.level, "[onnx]" in found.cure) == (Level.ERROR, True)
    *_, found = findings(PartsFacts("3.11", VERSIONS, []), worker=True, asked=False)
    assert found.level is Level.OK
