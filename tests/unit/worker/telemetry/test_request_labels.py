"""Paths and the labels under which the metrics count them."""

from __future__ import annotations

import pytest

from worker.telemetry.request_labels import request_labels


@pytest.mark.parametrize(
    ("path", "model", "protocol"),
    [
        ("/", "cats", "article"),
        ("/v1/models/cats:predict", "cats", "tfserving"),
        ("/v1/models/dogs/versions/3:predict", "dogs", "tfserving"),
        ("/v1/models/dogs/labels/stable/metadata", "dogs", "tfserving"),
        ("/v1/models/nobody:predict", "", "tfserving"),
        ("/v2", "", "openinference"),
        ("/v2/health/ready", "", "openinference"),
        ("/v2/models/cats/infer", "cats", "openinference"),
        ("/v2/models/cats", "cats", "openinference"),
        ("/v2models/cats", "", ""),
        ("/metrics", "", ""),
        ("/v1/models/", "", "tfserving"),
    ],
)
def test_a_path_counts_for_a_known_model_and_its_protocol(path: str, model: str, protocol: str) -> None:
    """Each protocol's paths count as that protocol, for the model they name if it is there."""
    assert request_labels(path, default="cats", known=("cats", "dogs")) == (model, protocol)
