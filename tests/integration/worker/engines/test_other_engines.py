"""Caffe, TorchScript, torch.export, TFLite and OpenVINO's own files are served, without TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.models.dense_model import EDGE, IMAGENET, answers, write_caffe, write_onnx, write_torch
from tests.support.photos import chelsea_jpeg, china_jpeg, coffee_jpeg
from worker.artifacts.preprocess_config import Preprocess
from worker.artifacts.signatures.takes_tensors import takes_tensors
from worker.artifacts.source import ModelSource
from worker.engines.load import load_engine
from worker.errors import ModelError
from worker.inference.model import Model, load

PHOTOS = (chelsea_jpeg(), coffee_jpeg(), china_jpeg())
SIZE = Preprocess(size=(EDGE, EDGE))

LOADED = """
import sys
from pathlib import Path
from worker.artifacts.preprocess_config import Preprocess
from worker.artifacts.source import ModelSource
from worker.inference.model import load
model = load(ModelSource(path=Path(sys.argv[1]), preprocess=Preprocess(size=(12, 12))), name="m")
model.predict([model.example()] * 2)
frameworks = {"tensorflow", "keras", "onnxruntime", "onnx", "openvino", "cv2", "torch"} & set(sys.modules)
print(model.engine.name, *sorted(frameworks))
"""


def seen(model: Model) -> list[NDArray[np.uint8]]:
    return [model.decode(photo) for photo in PHOTOS]


def close(one: NDArray[Any], other: NDArray[Any], *, within: float = 1e-4) -> bool:
    return one.shape == other.shape and bool(np.abs(one - other).max() < within)


def needs_torch() -> None:
    pytest.importorskip("torch", reason="torch is not installed: pip install 'p2p-serving[torch]'")


@pytest.fixture(scope="module")
def tflite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dense network as TFLite, with channels last and pixels of -1..1."""
    from tests.support.models.dense_model import CLASSES, weights
    from worker.engines.tensorflow.quiet_import import quiet_tensorflow

    with quiet_tensorflow():
        import tensorflow as tf

    kernel = tf.constant(weights().transpose(2, 3, 1, 0).reshape(-1, CLASSES))
    dense = tf.function(
        lambda x: tf.nn.softmax(tf.matmul(tf.reshape(x, [-1, EDGE * EDGE * 3]), kernel)),
        input_signature=[tf.TensorSpec([1, EDGE, EDGE, 3], tf.float32)],
    )
    path = tmp_path_factory.mktemp("tflite") / "model.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([dense.get_concrete_function()], dense).convert())
    return path


def test_caffe_sees_bgr_less_its_mean(tmp_path: Path) -> None:
    """A Caffe model's size comes from its prototxt, its pixels are BGR less 104, 117, 123; either file names it."""
    path = write_caffe(tmp_path)
    model = load(ModelSource(path=path.with_suffix(".prototxt")), name="caffe")
    pictures = seen(model)
    wanted = answers([picture[..., ::-1] for picture in pictures], (104, 117, 123))
    assert close(model.predict(pictures), wanted)
    assert close(model.predict(pictures[:1]), wanted[:1])
    described = model.describe()
    assert (described["engine"], described["platform"], described["device"]) == ("opencv", "caffe", "cpu")
    assert described["input"]["pixels"] == "(pixel - [104, 117, 123]) / 1, bgr, nchw"
    assert load(ModelSource(path=tmp_path), name="folder").engine.platform == "caffe"


def test_caffe_without_its_other_half_is_told(tmp_path: Path) -> None:
    """Weights alone are an error that names the missing file; a prototxt of another name is found if it is alone."""
    path = write_caffe(tmp_path)
    path.with_suffix(".prototxt").rename(tmp_path / "deploy.prototxt")
    assert load(ModelSource(path=path), name="caffe").engine.classes == 4
    (tmp_path / "deploy.prototxt").unlink()
    with pytest.raises(ModelError, match=r"Beside .* must be the other half of a Caffe model: net\.prototxt"):
        load(ModelSource(path=path), name="caffe")
    (tmp_path / "net.prototxt").write_text("layer {")
    with pytest.raises(ModelError, match="cannot be loaded by OpenCV"):
        load(ModelSource(path=path), name="caffe")


@pytest.mark.parametrize("suffix", [".pt", ".pt2"])
def test_torch_answers_as_it_did(tmp_path: Path, suffix: str) -> None:
    """TorchScript takes its size from what is said, torch.export from the file; both get ImageNet's scaling."""
    needs_torch()
    path = write_torch(tmp_path / f"model{suffix}", logits=True)
    said = SIZE if suffix == ".pt" else Preprocess()
    model = load(ModelSource(path=path, preprocess=said), name="torch")
    pictures = seen(model)
    assert close(model.predict(pictures), answers(pictures, *IMAGENET))
    assert close(model.predict(pictures[:1]), answers(pictures[:1], *IMAGENET))
    assert model.engine.platform == ("pytorch_torchscript" if suffix == ".pt" else "pytorch_export")
    assert model.engine.name == "torch"


@pytest.mark.parametrize("suffix", [".pt", ".pt2"])
def test_torch_computes_in_bf16_where_the_processor_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Its answers are nearly those in float32, and not the same; on another processor the error says what to do."""
    needs_torch()
    from worker.engines.torch import device

    path = write_torch(tmp_path / f"model{suffix}")
    pictures = [np.zeros((EDGE, EDGE, 3), np.uint8), np.full((EDGE, EDGE, 3), 90, np.uint8)]
    wanted = load_engine(ModelSource(path=path, preprocess=SIZE), "torch").predict(pictures)
    in_bf16 = ModelSource(path=path, preprocess=SIZE, precision="bf16")
    monkeypatch.setattr(device, "has_bf16", lambda: True)
    found = load_engine(in_bf16, "torch").predict(pictures)
    assert close(found, wanted, within=0.05)
    assert not np.array_equal(found, wanted)
    monkeypatch.setattr(device, "has_bf16", lambda: False)
    with pytest.raises(ModelError, match="no bf16"):
        load_engine(in_bf16, "torch")


def test_files_of_torch_without_a_network_are_refused(tmp_path: Path) -> None:
    """Bare weights, pickles and other files are errors that say how to save a network; none is unpickled."""
    needs_torch()
    import torch

    torch.save({"weight": torch.zeros(3)}, tmp_path / "weights.pt")
    with pytest.raises(ModelError, match=r"save it with torch\.export\.save or torch\.jit\.save"):
        load(ModelSource(path=tmp_path / "weights.pt"), name="m")
    (tmp_path / "text.pt").write_text("no archive")
    with pytest.raises(ModelError, match="not a file of TorchScript or"):
        load(ModelSource(path=tmp_path / "text.pt"), name="m")
    with pytest.raises(ModelError, match="The model failed on 1 images"):
        load(ModelSource(path=write_torch(tmp_path / "m.pt"), preprocess=Preprocess(size=(5, 5))), name="m")


def test_tflite_is_read_by_openvino(tflite: Path) -> None:
    """A TFLite file of floats gets pixels of -1..1, as MobileNet's, one at a time as its shape says."""
    assert not takes_tensors(tflite, "tflite")
    model = load(ModelSource(path=tflite), name="lite")
    pictures = seen(model)
    assert close(model.predict(pictures), answers(pictures, 127.5, 127.5))
    assert (model.engine.name, model.engine.platform, model.engine.input.batch) == ("openvino", "tflite", 1)


def test_openvinos_own_files_are_read(tmp_path: Path) -> None:
    """An .xml with its .bin is served, and answers as the .onnx file that it was made of."""
    from worker.engines.openvino.runtime import openvino

    openvino.save_model(openvino.Core().read_model(write_onnx(tmp_path / "m.onnx")), tmp_path / "ir" / "m.xml", False)
    model = load(ModelSource(path=tmp_path / "ir"), name="ir")
    pictures = seen(model)
    assert close(model.predict(pictures), answers(pictures, *IMAGENET))
    assert model.engine.platform == "openvino"


@pytest.mark.parametrize("kind", ["onnx", "caffe", "tflite", "torch"])
def test_no_model_loads_another_framework_than_its_own(tmp_path: Path, kind: str, tflite: Path) -> None:
    """A process that serves a model imports its engine's framework: no TensorFlow, and no other."""
    path, names = tflite, "openvino openvino"
    if kind == "onnx":
        (tmp_path / "1").mkdir()
        path, names = write_onnx(tmp_path / "1" / "m.onnx", order="nhwc", dtype="uint8").parent.parent, ""
    elif kind == "caffe":
        path, names = write_caffe(tmp_path), "opencv cv2"
    elif kind == "torch":
        needs_torch()
        path, names = write_torch(tmp_path / "m.pt"), "torch torch"
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(path)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    found = done.stdout.strip()
    if kind == "onnx":  # whichever was the quickest
        assert found in ("onnx onnxruntime", "openvino openvino", "opencv cv2"), done.stderr
    else:
        assert found == names, done.stderr
