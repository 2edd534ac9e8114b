"""What a training is told: the values of `p2p retrain`'s flags."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from worker.training.features.distortions import Distortions
from worker.training.features.network import DEFAULT
from worker.training.photos.split import Shares

FINAL = "final_result"
"""The name of the output in retrain.py's graphs."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """All values of one training.

    image_dir: the photos, in a folder for each label
    out:       the model's folder, which gets the next numbered version; None for none
    graph, final: a frozen graph to write, and the name of its output
    output_labels: where to write the labels, one a line; None writes labels.txt beside the graph
    shares:    of photos for testing and validation
    architecture: the network whose features are used
    distortions: what is done to photos for training
    cache:     the user's folder for networks; bottleneck_dir: for features, None for a folder in the cache
    fine_tune: whether the network's last blocks may be trained, too, where cross-validation says that it is better;
        steps, learning_rate, batch and interval are for that
    """

    image_dir: Path
    out: Path | None = None
    graph: Path | None = None
    output_labels: Path | None = None
    final: str = FINAL
    shares: Shares = field(default_factory=Shares)
    architecture: str = DEFAULT
    distortions: Distortions = field(default_factory=Distortions)
    cache: Path = field(default_factory=lambda: Path.home() / ".cache" / "p2p-serving")
    bottleneck_dir: Path | None = None
    seed: int = 0
    fine_tune: bool = False
    steps: int = 200
    learning_rate: float = 0.0003
    batch: int = 32
    interval: int = 10

    @property
    def features_folder(self) -> Path:
        """Where features are kept."""
        return self.bottleneck_dir or self.cache / "features"
