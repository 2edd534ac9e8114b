"""A request's path -> the model and the protocol that it is counted under."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

_PROTOCOLS = {"v1": "tfserving", "v2": "openinference"}
_MODEL_PATH = re.compile(r"/(v[12])(?:/models/([^/:]+))?(?:[/:].*)?")


class Counted(NamedTuple):
    """Labels of the metrics; empty for what is no protocol's, and for a model that is not there."""

    model: str
    protocol: str


def counted(path: str, *, default: str, known: Collection[str]) -> Counted:
    """What a request for `path` counts as, where `/` is answered by the model `default`.

    Only `known` names become labels: whatever else clients ask for would each make a metric of its own.
    """
    if path == "/":
        return Counted(default, "article")
    match = _MODEL_PATH.fullmatch(path)
    if match is None:
        return Counted("", "")
    version, model = match.groups(default="")
    return Counted(model if model in known else "", _PROTOCOLS[version])
