"""A request's path -> the labels under which the metrics count it: a model and a protocol."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

_PROTOCOLS = {"v1": "tfserving", "v2": "openinference"}
_MODEL_PATH = re.compile(r"/(v[12])(?:/models/([^/:]+))?(?:[/:].*)?")


class RequestLabels(NamedTuple):
    """The labels of a request; "" for a path of no protocol, and for a model that does not exist."""

    model: str
    protocol: str


def request_labels(path: str, *, default: str, known: Collection[str]) -> RequestLabels:
    """The labels of a request for `path`, where the model `default` answers `/`.

    Only `known` names become labels: any other name that clients send would create a time series of its own.
    """
    if path == "/":
        return RequestLabels(default, "article")
    match = _MODEL_PATH.fullmatch(path)
    if match is None:
        return RequestLabels("", "")
    version, model = match.groups(default="")
    return RequestLabels(model if model in known else "", _PROTOCOLS[version])
