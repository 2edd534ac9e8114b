"""The settings for newer Consul versions, which the tests' own Consul cannot read, are well-formed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hcl2
import pytest

CONSUL = Path("deploy/consul")


def keys_of(value: Any) -> set[str]:
    """All names of blocks and attributes, without quotes."""
    if isinstance(value, list):
        return set().union(*map(keys_of, value)) if value else set()
    if not isinstance(value, dict):
        return set()
    return {key.strip('"') for key in value} | keys_of(list(value.values()))


@pytest.mark.parametrize(
    ("file", "names"),
    [("from-1.12/tls.hcl", {"tls", "defaults", "verify_incoming"}), ("from-1.14/ports.hcl", {"ports", "grpc_tls"})],
)
def test_settings_for_newer_versions_are_parsed(file: str, names: set[str]) -> None:
    """They are HCL with the names that Consul's documentation has; no Consul that reads them is here."""
    assert names <= keys_of(hcl2.loads((CONSUL / file).read_text()))
