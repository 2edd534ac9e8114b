"""What the installed versions mean. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploy.doctor.finding import Finding, error, ok


@dataclass(frozen=True, slots=True)
class PartsFacts:
    """Versions by distribution (None: not installed), and the engines that can be loaded, by name."""

    python: str
    versions: Mapping[str, str | None]
    engines: Sequence[str]


def findings(facts: PartsFacts, *, worker: bool, asked: bool) -> list[Finding]:
    """The client and what serves have one version; a worker needs an engine.

    `asked`: this host is to be a worker; else one without an engine is taken for none.
    """
    ours, client = facts.versions["p2p-serving"], facts.versions["p2p-serving-client"]
    shown = ", ".join(f"{name} {version}" for name, version in facts.versions.items() if version)
    found = [ok(f"Python {facts.python}, {shown}.")]
    if ours != client:
        found = [
            error(
                f"p2p-serving is of version {ours}, p2p-serving-client of version {client}.",
                "pip install both in the same version.",
            )
        ]
    if worker and not facts.engines:
        what = "No engine is installed, so a worker here can serve no model"
        cure = "pip install 'p2p-serving[onnx]', or [openvino], [opencv], [torch], [worker] for TensorFlow."
        found.append(error(f"{what}.", cure) if asked else ok(f"{what}; that is right unless this host is to be one."))
    elif worker:
        found.append(ok(f"Engines: {', '.join(facts.engines)}."))
    return found
