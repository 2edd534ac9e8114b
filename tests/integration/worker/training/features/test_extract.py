"""Features are the same from one engine and from several; a stop keeps what was computed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worker.training.features import engines
from worker.training.features.cache import FeatureCache
from worker.training.features.extract import BATCH, Extractor, Read
from worker.training.features.network import Network, network


class Quiet:
    def say(self, line: str) -> None: ...

    def stage(self, name: str, steps: int) -> None: ...

    def advance(self, steps: int = 1) -> None: ...


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return network(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Read]:
    """Three batches of small pictures by chance, and a file that is none."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number in range(3 * BATCH):
        Image.fromarray(random.integers(0, 256, (8, 8, 3)).astype(np.uint8)).save(folder / f"{number}.png")
    (folder / "none.png").write_bytes(b"none")
    files = sorted(folder.iterdir())
    return [Read(file, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]


@pytest.mark.parametrize("several", [False, True])
def test_every_photo_gets_its_own_features(
    layers: Network, photos: list[Read], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, several: bool
) -> None:
    """From two engines as from one: those that the photo gets alone. What cannot be decoded is told."""
    monkeypatch.setattr(engines, "engines_for", lambda photos, cores: 2 if several and photos > 1 else 1)
    with FeatureCache(tmp_path / "all", layers.id) as cache, FeatureCache(tmp_path / "one", layers.id) as other:
        together, alone = (Extractor(layers, each, Quiet(), lambda: False) for each in (cache, other))
        seen, failed = together.seen(photos)
        some = [photo for photo in photos if photo.digest in seen][::7]
        for photo in some:
            features = alone.seen([photo])[0][photo.digest].features
            np.testing.assert_allclose(seen[photo.digest].features, features, rtol=0.01, atol=0.01)
        together.close()
        alone.close()
    assert len(seen) == 3 * BATCH
    assert [each.path.name for each in failed] == ["none.png"]


def test_a_stop_keeps_what_was_computed(layers: Network, photos: list[Read], tmp_path: Path) -> None:
    """Stopped at once, the first batch is there, in the cache too; the others are missing."""
    with FeatureCache(tmp_path, layers.id) as cache:
        extractor = Extractor(layers, cache, Quiet(), lambda: True)
        seen, _ = extractor.seen(photos)
        extractor.close()
        assert 0 < len(seen) <= BATCH
        assert set(cache.get([photo.digest for photo in photos])) == set(seen)
