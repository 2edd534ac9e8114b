"""A Keras file -> the configurations of models in it, as JSON gives them; no layer in it is built."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from worker.artifacts.damaged import Damaged
from worker.artifacts.zip_archive import member_of


def configs_in(path: Path) -> list[Any]:
    """The configurations in a file that is a zip archive, HDF5, or both: Keras's choice must not matter.

    None of a part that Keras cannot read either. Raises OSError, and ValueError for JSON that is no text.
    """
    configs: list[Any] = []
    for parts in (_of_archive, _of_hdf5):
        with contextlib.suppress(Damaged, json.JSONDecodeError):
            configs += parts(path)
    return configs


def _of_archive(path: Path) -> list[Any]:
    content = member_of(path, lambda name: name == "config.json")
    if content is None:
        return []
    config = json.loads(content)
    if isinstance(config, dict):
        config.pop("compile_config", None)  # only training needs it, and Keras does not read it here
    return [config]


def _of_hdf5(path: Path) -> list[Any]:
    import h5py  # it comes with Keras, and takes a moment

    if not h5py.is_hdf5(path):
        return []
    try:
        with h5py.File(path) as file:
            attribute = file.attrs.get("model_config")
    except OSError as error:
        raise Damaged(f"no file of HDF5: {error}") from error
    return [] if attribute is None else [json.loads(attribute)]
