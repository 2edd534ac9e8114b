"""What was found, read and computed -> the photos that are used, with their features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.training.features.cache import Seen
from worker.training.features.extract import Read
from worker.training.photos.find import FoundPhotos, LeftOut
from worker.training.photos.fingerprint import near_duplicates
from worker.training.photos.parts_file import NAME, read_parts, write_parts
from worker.training.photos.split import Part
from worker.training.photos.used import Photo, Used, used_photos
from worker.training.settings import TrainSettings


class Collected:
    """The photos that are used, with their features."""

    def __init__(
        self,
        settings: TrainSettings,
        found: FoundPhotos,
        read: Sequence[Read],
        seen: Mapping[str, Seen],
        left_out: Sequence[LeftOut],
        *,
        undecoded: set[Path],
    ) -> None:
        digests = {each.path: each.digest for each in read if each.digest in seen}
        late = [each.path for each in read if each.digest not in seen and each.path not in undecoded]
        unique = sorted(set(digests.values()))
        pairs = near_duplicates([seen[digest].fingerprint for digest in unique])
        alike = [(unique[one], unique[other]) for one, other in pairs]
        kept_in = None if settings.out is None else settings.out / NAME
        kept = {} if kept_in is None else read_parts(kept_in)
        used = used_photos(found, digests, kept=kept, alike=alike, shares=settings.shares)
        if kept_in is not None and not found.parts:
            write_parts(kept_in, kept | dict(used.parts))
        stopped = [LeftOut(path, "the run was stopped before it was computed") for path in late]
        self.left_out = [*left_out, *used.left_out, *stopped]
        self.used: Used = used
        self.rows = np.stack([seen[photo.digest].features for photo in used.photos])
        self.truth = np.array([photo.label for photo in used.photos], np.int64)
        self.duplicates = _pairs(used.photos, alike)

    def of(self, part: Part) -> NDArray[np.int64]:
        """The numbers of the photos in a part."""
        return np.array([n for n, photo in enumerate(self.used.photos) if photo.part == part], np.int64)


def _pairs(photos: Sequence[Photo], alike: Sequence[tuple[str, str]]) -> list[tuple[Path, Path]]:
    """Pairs of paths of copies and of near-duplicates."""
    by_digest: dict[str, list[Path]] = {}
    for photo in photos:
        by_digest.setdefault(photo.digest, []).append(photo.path)
    copies = [(paths[0], other) for paths in by_digest.values() for other in paths[1:]]
    near = [(by_digest[one][0], by_digest[other][0]) for one, other in alike if one in by_digest and other in by_digest]
    return [*copies, *near]
