"""The blocking client is made from the asynchronous one."""

from __future__ import annotations

import inspect

from p2pclient import AsyncClient, Client


def test_it_has_the_same_signatures():
    """Constructor and methods take the same arguments, and none of the public methods is missing."""
    assert str(inspect.signature(Client)) == str(inspect.signature(AsyncClient))
    public = {name for name in vars(AsyncClient) if not name.startswith("_")}
    assert {name for name in vars(Client) if not name.startswith("_")} == public
    for name in public - {"close", "classify_many"}:
        assert inspect.signature(getattr(Client, name)) == inspect.signature(getattr(AsyncClient, name))
    many = [inspect.signature(kind.classify_many).parameters for kind in (Client, AsyncClient)]
    assert [(p.name, p.kind, p.default) for p in many[0].values()] == [
        (p.name, p.kind, p.default) for p in many[1].values()
    ]
