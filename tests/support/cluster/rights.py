"""The least rights that each part needs in a Consul that denies by default (docs/guide/consul.md)."""

from __future__ import annotations

WORKER = 'service "classify" { policy = "write" }'
"""A worker: registers, says that it lives, leaves."""

LOOKUP = 'service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }'
"""A lookup service: reads which services there are, and their instances with the nodes that they run on."""

CATALOG_WORKER = 'service "apart" { policy = "write" } node_prefix "p2p-" { policy = "write" }'
"""A worker of the service `apart` that registers in the catalogue: it writes its own node, too."""

CATALOG_LOOKUP = f"""{LOOKUP}
service "apart" {{ policy = "write" }} node_prefix "p2p-" {{ policy = "write" }}
session_prefix "" {{ policy = "write" }}
key "p2p-serving/catalog-checks/leader" {{ policy = "write" }}"""
"""A lookup service that checks such workers: it takes a lock, writes their checks and removes their nodes."""

OPERATOR = 'service_prefix "" { policy = "write" } node_prefix "" { policy = "read" }'
"""Somebody who puts a service into maintenance, and looks at it."""

STRANGER = 'service "something-else" { policy = "write" }'
"""A token that is good for something else."""


def agent(node: str) -> str:
    """Consul's own agent of a node: it writes its node and reads services to keep the catalogue in step."""
    return f'node "{node}" {{ policy = "write" }} service_prefix "" {{ policy = "read" }}'
