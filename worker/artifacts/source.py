"""The flags about a model -> the files to load.

`ModelSource` carries the flags; `locate` turns its path into a `Place` on disk.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from worker.artifacts.formats import PRECISIONS, WANTED, Precision, PrecisionChoice, caffe_pair, model_in
from worker.artifacts.preprocess_config import Preprocess, check_one_of
from worker.artifacts.version_folders import version_folders
from worker.artifacts.version_plan import version_number
from worker.errors import ModelError
from worker.images.folder import IMAGE_SUFFIXES

DEFAULT_AGREEMENT = 0.99

DEFAULT_MAX_PIXELS = 50_000_000
"""150 MB of RGB: photos of today's phones are decoded, images that would fill the memory are not."""


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """All flags about one model.

    path:   a model's folder or file, or a folder of numbered versions (see `artifacts.formats`); None for the default
    graph:  instead of `path`, a frozen graph as the article's retrain.py writes it
    labels: one name a line; None looks for labels.txt in or next to the model's folder
    input_layer, output_layer: names in a graph, or of a signature's input and output; None finds them
    signature: of a SavedModel; None takes `serving_default`, or the only one
    engine: "auto", or one engine's name
    precision: "f32", or "bf16" for numbers of 16 bits inside, where engine and processor have them; "auto" takes the
        fastest that agrees with the reference on sample images
    agreement: for "auto" the share of sample images in which the best class must be the reference's; None: 0.99
    samples: for "auto" a folder of images; None looks for a folder `samples` in or next to the model's folder
    device: "auto" (a GPU if the engine sees one), "cpu", "gpu" or "gpu:N"
    threads: how many threads OpenVINO predicts with; None: one per usable core
    gpu_memory_growth: take a GPU's memory as it is needed, not all at once
    cache:  the user's folder for built files (the default model's export, choices of engines, conversions)
    max_pixels: the largest image that is decoded, width x height
    allow_unsafe: load the model even if it can run code or touch files (see `artifacts.safety`)
    """

    path: Path | None = None
    graph: Path | None = None
    labels: Path | None = None
    input_layer: str | None = None
    output_layer: str | None = None
    signature: str | None = None
    engine: str = "auto"
    precision: PrecisionChoice = "f32"
    agreement: float | None = None
    samples: Path | None = None
    device: str = "auto"
    threads: int | None = None
    gpu_memory_growth: bool = False
    preprocess: Preprocess = field(default_factory=Preprocess)
    cache: Path = field(default_factory=lambda: Path.home() / ".cache" / "p2p-serving")
    max_pixels: int = DEFAULT_MAX_PIXELS
    allow_unsafe: bool = False

    def __post_init__(self) -> None:
        """Raise ModelError for a wrong precision or agreement, and for a signature of what is no SavedModel."""
        check_one_of("--precision", self.precision, (*PRECISIONS, "auto"))
        if self.precision != "auto" and (self.agreement is not None or self.samples is not None):
            raise ModelError("--agreement and --samples say how --precision auto chooses: give that, too.")
        if self.agreement is not None and not 0 < self.agreement <= 1:
            raise ModelError(f"--agreement is a share of images above 0 and at most 1, not {self.agreement:g}.")
        if self.signature is not None and (self.graph is not None or (self.path is not None and self.path.is_file())):
            raise ModelError("--signature names a signature of a SavedModel; this model is none.")

    def in_precision(self, precision: Precision) -> ModelSource:
        """The same in this precision, which is no longer to be chosen."""
        return replace(self, precision=precision, agreement=None, samples=None)


@dataclass(frozen=True)
class Place:
    """A model on disk: its folder or file, its version, and its labels' file if there is one."""

    path: Path
    version: str
    labels: Path | None


def locate(path: Path, *, labels: Path | None = None) -> Place:
    """Find the model that `path` means; of a folder of numbered versions, the highest that is complete.

    The version is the number that names the model's folder, without leading zeros, else "1". Labels are those given,
    else labels.txt inside the model's folder, else next to it. Raises ModelError if there is no model there.
    """
    if not path.exists():
        raise ModelError(f"There is no model at {path}: check --model or --graph.")
    folder = _newest(path)
    if labels is None:
        around = ([folder] if folder.is_dir() else []) + [folder.parent]
        labels = next((f / "labels.txt" for f in around if (f / "labels.txt").is_file()), None)
    numbered = folder if folder.is_dir() else folder.parent
    return Place(folder, version_number(numbered.name) or "1", labels)


def is_versioned(path: Path | None) -> bool:
    """Whether `path` is a folder of numbered versions, rather than a model itself. Raises OSError."""
    if path is None or not path.is_dir() or not version_folders(path):
        return False
    try:
        inside = locate(path).path.relative_to(path).parts
    except ModelError:  # no version is complete yet
        return True
    return bool(inside) and version_number(inside[0]) is not None


def _newest(path: Path) -> Path:
    """The model in `path`: itself, the one file of a model that it holds, or its highest complete version."""
    if not path.is_dir():
        return caffe_pair(path)[1] if path.suffix == ".prototxt" else path
    whole = model_in(path)
    if whole is not None:
        return whole
    folders = version_folders(path)
    highest_first = [folders[version] for version in sorted(folders, key=int, reverse=True)]
    versions = [model for model in map(model_in, highest_first) if model is not None]
    if not versions and _holds_photos(path):
        raise ModelError(
            f"{path} is a folder of photos, not a model. `p2p retrain --image-dir {path} --out MODEL` makes a model of "
            "photos in a folder for each label."
        )
    if not versions:
        raise ModelError(
            f"{path} holds no model, or several: it needs a saved_model.pb, one model file, "
            f"or numbered folders (1, 2, ...) that do; a model is {WANTED}."
        )
    return versions[0]


def _holds_photos(folder: Path) -> bool:
    """Whether there is an image in a folder or in a folder of it."""
    return any(file.suffix.lower() in IMAGE_SUFFIXES for pattern in ("*", "*/*") for file in folder.glob(pattern))
