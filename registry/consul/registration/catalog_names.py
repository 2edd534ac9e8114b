"""How workers in the catalogue, and the lock of the lookup process that checks them, are named in Consul. Pure."""

from __future__ import annotations

NODE_META = {"p2p-serving": "catalog"}
"""The meta of the nodes whose checks lookup services run."""

NODE_PREFIX = "p2p-"
"""What the names of these nodes begin with."""

LOCK_KEY = "p2p-serving/catalog-checks/leader"
"""The key in Consul's key/value store whose lock the checking process holds."""
