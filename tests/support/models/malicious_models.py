"""Models that do more than compute, one writer for each kind: each leaves a marker when its code runs.

Every writer takes the path to write and the marker, a file that must not appear, and gives back what `--model` takes.
All are classifiers that serve: without the check nobody would notice.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.support.models.dense_model import EDGE, write_torch

TEXT = "the model ran"


def keras_lambda(folder: Path, marker: Path) -> Path:
    """A .keras file with a Lambda layer of Python's byte code."""
    return _lambda_model(folder / "model.keras", marker)


def h5_lambda(folder: Path, marker: Path) -> Path:
    """The same as .h5 file."""
    return _lambda_model(folder / "model.h5", marker)


def _lambda_model(path: Path, marker: Path) -> Path:
    import keras

    layers = [
        keras.layers.Flatten(),
        keras.layers.Lambda(_lambda_writing(marker), output_shape=(EDGE * EDGE * 3,), name="evil"),
        keras.layers.Dense(4, activation="softmax"),
    ]
    model = keras.Sequential([keras.Input((EDGE, EDGE, 3)), *layers])
    marker.unlink(missing_ok=True)  # building it has run the layer
    model.save(path)
    return path


def _lambda_writing(marker: Path) -> Callable[..., Any]:
    """What a Lambda layer calls; Keras saves the byte code of a lambda, and nothing that it refers to."""
    written: Callable[..., Any] = eval(f"lambda x: ({_touching(marker)}, x)[1]")
    return written


def saved_model_writing(folder: Path, marker: Path) -> Path:
    """A SavedModel whose signature writes a file."""
    import tensorflow as tf

    def answer(x: Any) -> Any:
        with tf.control_dependencies([tf.io.write_file(str(marker), TEXT)]):
            return tf.nn.softmax(tf.reshape(x, [-1, EDGE * EDGE * 3])[:, :4])

    return _saved_model(folder / "model", answer)


def saved_model_calling_python(folder: Path, marker: Path) -> Path:
    """A SavedModel whose signature calls a Python function that this process knows by number."""
    import tensorflow as tf

    def touch() -> Any:
        marker.write_text(TEXT)
        return tf.constant(1.0)

    def answer(x: Any) -> Any:
        return tf.nn.softmax(tf.reshape(x, [-1, EDGE * EDGE * 3])[:, :4]) * tf.py_function(touch, [], tf.float32)

    return _saved_model(folder / "model", answer)


def saved_model_saving(folder: Path, marker: Path) -> Path:
    """A SavedModel whose signature saves a checkpoint, as only a saver may."""
    import tensorflow as tf

    def answer(x: Any) -> Any:
        save = tf.raw_ops.SaveV2(
            prefix=str(marker), tensor_names=["a"], shape_and_slices=[""], tensors=[tf.constant(1)]
        )
        with tf.control_dependencies([save]):
            return tf.nn.softmax(tf.reshape(x, [-1, EDGE * EDGE * 3])[:, :4])

    return _saved_model(folder / "model", answer)


def saved_model_printing(folder: Path, marker: Path) -> Path:
    """A SavedModel whose signature prints to a file."""
    import tensorflow as tf

    def answer(x: Any) -> Any:
        with tf.control_dependencies([tf.print(TEXT, output_stream=f"file://{marker}")]):
            return tf.nn.softmax(tf.reshape(x, [-1, EDGE * EDGE * 3])[:, :4])

    return _saved_model(folder / "model", answer)


def saved_model_initializer(folder: Path, marker: Path) -> Path:
    """A SavedModel whose function reads a file as its table of words, before the first image."""
    import tensorflow as tf

    words = folder / "words.txt"
    words.write_text("cat\ndog\n")
    initializer = tf.lookup.TextFileInitializer(
        str(words), tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE
    )
    whole = tf.Module()
    whole.table = tf.lookup.StaticHashTable(initializer, "")
    spec = tf.TensorSpec([None, EDGE, EDGE, 3], tf.float32)
    whole.answer = tf.function(
        lambda x: {
            "scores": tf.nn.softmax(tf.reshape(x, [-1, EDGE * EDGE * 3])[:, :4]),
            "word": whole.table.lookup(tf.constant([0], tf.int64)),
        },
        input_signature=[spec],
    )
    tf.saved_model.save(whole, str(folder / "model"), signatures=whole.answer)
    return folder / "model"


def _saved_model(path: Path, answer: Any) -> Path:
    import tensorflow as tf

    whole = tf.Module()
    whole.answer = tf.function(answer, input_signature=[tf.TensorSpec([None, EDGE, EDGE, 3], tf.float32)])
    tf.saved_model.save(whole, str(path), signatures=whole.answer)
    return path


def frozen_graph_writing(folder: Path, marker: Path) -> Path:
    """A frozen graph that writes a file."""
    import tensorflow.compat.v1 as tf

    with tf.Graph().as_default() as graph:
        pixels = tf.placeholder(tf.float32, [None, EDGE, EDGE, 3], name="input")
        with tf.control_dependencies([tf.io.write_file(str(marker), TEXT)]):
            tf.nn.softmax(tf.reshape(pixels, [-1, EDGE * EDGE * 3])[:, :4], name="final_result")
    (folder / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    return folder / "graph.pb"


def torchscript_saving(folder: Path, marker: Path) -> Path:
    """A TorchScript file that writes a file with each prediction."""
    import torch

    class Saving(torch.nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def forward(self, x):  # type: ignore[no-untyped-def]
            torch.save(x, self.name)
            return torch.softmax(x.flatten(1)[:, :4], 1)

    torch.jit.script(Saving(str(marker))).save(str(folder / "model.pt"))
    return folder / "model.pt"


def torchscript_at_load(folder: Path, marker: Path) -> Path:
    """A TorchScript file that writes a file while it is loaded, through another name of the function's module."""
    import torch

    class Loading(torch.nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        @torch.jit.export
        def __getstate__(self) -> tuple[str, bool]:
            return self.name, self.training

        @torch.jit.export
        def __setstate__(self, state: tuple[str, bool]) -> None:
            self.name = state[0]
            self.training = state[1]
            torch.save(torch.zeros(1), self.name)

        def forward(self, x):  # type: ignore[no-untyped-def]
            return torch.softmax(x.flatten(1)[:, :4], 1)

    torch.jit.script(Loading(str(marker))).save(str(folder / "model.pt"))
    return folder / "model.pt"


def exported_with_evil_size(folder: Path, marker: Path) -> Path:
    """A file of torch.export one of whose sizes is Python code."""

    def change(program: dict[str, Any]) -> None:
        values = program["graph_module"]["graph"]["tensor_values"].values()
        size = next(value["sizes"][0] for value in values if "as_expr" in value["sizes"][0])
        size["as_expr"]["expr_str"] = _touching(marker)

    return _changed_program(folder, change)


def exported_with_evil_guard(folder: Path, marker: Path) -> Path:
    """A file of torch.export with a condition that is Python code."""
    return _changed_program(folder, lambda program: program.update(guards_code=[f"{_touching(marker)} == 13"]))


def exported_with_pickle(folder: Path, marker: Path) -> Path:
    """A file of torch.export whose sample inputs are a pickle that runs code."""
    import io
    import pickle

    import torch

    content = io.BytesIO()
    torch.save(_Evil(marker), content, pickle_module=pickle)
    path = _changed_program(folder, lambda program: None)
    rewrite(path, lambda name, old: content.getvalue() if name.endswith("sample_inputs/model.pt") else old)
    return path


def pickled_module(folder: Path, marker: Path) -> Path:
    """What torch.save writes of a module: a pickle, here one that runs code."""
    import torch

    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * EDGE * EDGE, 4), torch.nn.Softmax(1))
    network.evil = _Evil(marker)
    torch.save(network, folder / "model.pt")
    return folder / "model.pt"


class _Evil:
    """Its pickle writes the marker."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (os.system, (f"echo ran > {self.marker}",))


def _touching(marker: Path) -> str:
    """Python's expression that writes the marker; its value is 13."""
    return f"__import__('pathlib').Path('{marker}').write_text('{TEXT}')"


def _changed_program(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    path = write_torch(folder / "model.pt2")

    def changed(name: str, old: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return old
        program = json.loads(old)
        change(program)
        return json.dumps(program).encode()

    rewrite(path, changed)
    return path


def rewrite(path: Path, changed: Callable[[str, bytes], bytes]) -> None:
    """Change the files of an archive."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, changed(name, content))


RUNNING: Mapping[str, Callable[[Path, Path], Path]] = MappingProxyType(
    {
        writer.__name__: writer
        for writer in (
            *(keras_lambda, h5_lambda, saved_model_writing, saved_model_calling_python, saved_model_saving),
            *(saved_model_printing, frozen_graph_writing, torchscript_saving, torchscript_at_load),
            *(exported_with_evil_size, exported_with_evil_guard, exported_with_pickle, pickled_module),
        )
    }
)
"""The writers of models that leave the marker, by name."""
