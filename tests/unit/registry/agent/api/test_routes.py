"""Which handler takes which path."""

from __future__ import annotations

import pytest

from registry.agent.api.routes import clean, route

TABLE = {"/": {}, "/v1/agent/service/": {}, "/v1/agent/service/register": {}, "/v1/kv/": {}}  # type: ignore[var-annotated]  # handlers do not matter here


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/", "/"),
        ("/v1/agent/service/register", "/v1/agent/service/register"),
        ("/v1/agent/service/registered", "/v1/agent/service/"),
        ("/v1/agent/service/register/x", "/v1/agent/service/"),
        ("/v1/kv/", "/v1/kv/"),
        ("/v1/kv/a/b/", "/v1/kv/"),
        ("/v1/kv", None),
        ("/v1/", None),
        ("/nothing", None),
    ],
)
def test_the_longest_path_wins(path: str, found: str | None) -> None:
    """A path is its own, or the nearest above it that ends in a slash; the root takes only itself."""
    assert route(TABLE, path) == found


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [
        ("/", "/"),
        ("//", "/"),
        ("/a//b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/b/", "/a/b/"),
        ("/a/./", "/a/"),
        ("/../a", "/a"),
    ],
)
def test_cleaning(path: str, cleaned: str) -> None:
    """Empty, "." and ".." parts go, a final slash stays."""
    assert clean(path) == cleaned
