"""What Prometheus is to scrape, in the form of its HTTP service discovery: every worker, and this lookup service. Pure.

Of a server that `p2p exec` has registered it is not known whether it has metrics: it is left out. Workers are listed
whatever their health, so that one that does not answer is seen as down.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from registry.instances.instance import Instance

Group = dict[str, Any]
"""`{"targets": [address], "labels": {name: value}}`."""


def scrape_targets(instances: Iterable[Instance], *, lookup_address: str, lookup_scheme: str) -> list[Group]:
    """The targets: the lookup service at `lookup_address`, as it was asked, and the workers among `instances`.

    Labels that begin with `__meta_p2p_` are for relabelling; Prometheus drops them afterwards.
    """
    lookup = _group(lookup_address, lookup_scheme, role="lookup")
    return [lookup, *(_worker(instance) for instance in instances if instance.tells_metrics)]


def _worker(instance: Instance) -> Group:
    return _group(
        instance.address,
        instance.scheme,
        role="worker",
        service=instance.service,
        __meta_p2p_id=instance.id,
        __meta_p2p_host=instance.host,
        __meta_p2p_version=instance.version,
        __meta_p2p_health=instance.health.value,
        __meta_p2p_tags=f",{','.join(instance.tags)},",
    )


def _group(address: str, scheme: str, **labels: str) -> Group:
    return {"targets": [address], "labels": {"__scheme__": scheme} | labels}
