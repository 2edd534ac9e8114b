"""The access control list of the nodes that we make."""

from __future__ import annotations

from kazoo.security import ACL, CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, Id

from registry.zookeeper.settings import ZooKeeperSettings


def access_list(settings: ZooKeeperSettings) -> list[ACL]:
    """All rights for the user that makes a node, and the grants; without a user all rights for everybody."""
    if settings.credentials is None:
        return list(OPEN_ACL_UNSAFE)
    return [*CREATOR_ALL_ACL, *(ACL(grant.rights, Id(grant.scheme, grant.id)) for grant in settings.grants)]
