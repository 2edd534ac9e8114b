"""Features are kept by content and network, within a bound, and a damaged cache costs only time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worker.errors import RetrainError
from worker.training.features.cache import FeatureCache, Seen


def seen(value: float, width: int = 4) -> Seen:
    return Seen(b"print", np.full(width, value, np.float16))


def test_what_was_put_is_found_by_the_same_network_only(tmp_path: Path) -> None:
    """Another run with the same network finds it, more keys than one query takes; another network does not."""
    with FeatureCache(tmp_path, "net") as cache:
        cache.put({f"{n}": seen(n) for n in range(1200)})
    with FeatureCache(tmp_path, "net") as cache:
        found = cache.get([*map(str, range(1200)), "unknown"])
    assert len(found) == 1200
    assert found["7"].fingerprint == b"print"
    assert found["7"].features.tolist() == [7.0] * 4
    with FeatureCache(tmp_path, "other") as cache:
        assert cache.get(["7"]) == {}


def test_a_bounded_cache_drops_what_was_not_used_for_longest(tmp_path: Path) -> None:
    """Beyond the bound the oldest go; asking for one counts as use."""
    for name in ("old", "asked", "new"):
        with FeatureCache(tmp_path, "net") as cache:
            cache.put({name: seen(1, 500)})
    with FeatureCache(tmp_path, "net", bound_bytes=2200) as cache:
        cache.get(["asked"])
    with FeatureCache(tmp_path, "net") as cache:
        assert cache.get(["old", "asked", "new"]).keys() == {"asked", "new"}


def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    """A file that is no database is made anew; a folder that cannot be made is named."""
    (tmp_path / "features.sqlite").write_bytes(b"no database" * 1000)
    with FeatureCache(tmp_path, "net") as cache:
        cache.put({"a": seen(1)})
        assert cache.get(["a"]).keys() == {"a"}
    (tmp_path / "file").touch()
    with pytest.raises(RetrainError, match="name another folder with --bottleneck-dir"):
        FeatureCache(tmp_path / "file", "net")
