"""ONNX models of every layout, type and batch answer the same in ONNX Runtime, OpenVINO and OpenCV."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from tests.support.models.dense_model import EDGE, IMAGENET, answers, write_onnx
from tests.support.photos import chelsea_jpeg, china_jpeg, coffee_jpeg, flower_jpeg
from worker.artifacts.preprocess_config import Preprocess
from worker.artifacts.source import ModelSource
from worker.errors import ModelError
from worker.inference.model import Model, load

PHOTOS = (chelsea_jpeg(), coffee_jpeg(), china_jpeg(), flower_jpeg())
UNIT = (0.0, 255.0)


def seen(model: Model) -> list[NDArray[np.uint8]]:
    return [model.decode(photo) for photo in PHOTOS]


def close(one: NDArray[Any], other: NDArray[Any], *, within: float = 1e-4) -> bool:
    return one.shape == other.shape and bool(np.abs(one - other).max() < within)


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
@pytest.mark.parametrize(
    ("said", "scaling", "within"),
    [
        ({}, IMAGENET, 1e-4),
        ({"batch": 1}, IMAGENET, 1e-4),
        ({"batch": 3}, IMAGENET, 1e-4),
        ({"order": "nhwc"}, UNIT, 1e-4),
        ({"dtype": "float16"}, IMAGENET, 5e-3),
        ({"order": "nhwc", "dtype": "uint8", "scaled": (100.0, 60.0)}, (100.0, 60.0), 1e-4),
        ({"dtype": "uint8", "scaled": (100.0, 60.0), "batch": 1}, (100.0, 60.0), 1e-4),
        ({"scaled": (127.5, 127.5)}, (127.5, 127.5), 1e-4),
        ({"scaled": (0.5, 0.25), "order": "nhwc"}, (127.5, 63.75), 1e-4),
        ({"logits": True}, IMAGENET, 1e-4),
    ],
    ids=lambda value: ",".join(f"{k}={v}" for k, v in value.items()) or "plain" if isinstance(value, dict) else "",
)
def test_every_input_is_fed_as_it_wants(tmp_path: Path, engine: str, said: Any, scaling: Any, within: float) -> None:
    """Layout, type, batch and the model's own scaling are read from the file; the usual scaling fills what it
    leaves open; alone and together pictures get the numbers that numpy gets."""
    path = write_onnx(tmp_path / "model.onnx", **said)
    model = load(ModelSource(path=path, engine=engine), name="m")
    pictures = seen(model)
    wanted = answers(pictures, *scaling)
    assert np.ptp(wanted, axis=0).max() > 0.05
    assert close(model.predict(pictures), wanted, within=within)
    assert close(model.predict(pictures[:1]), wanted[:1], within=within)
    assert (model.engine.input.batch, model.engine.platform) == (said.get("batch"), "onnx_onnxv1")
    model.close()
    with pytest.raises(ModelError, match="closed"):
        model.predict(pictures)


@pytest.mark.parametrize("engine", ["onnx", "openvino", "opencv"])
def test_what_is_said_goes_before_what_is_usual(tmp_path: Path, engine: str) -> None:
    """Mean, std and channel order of model.toml hold in every engine, and flags go before them."""
    write_onnx(tmp_path / "model.onnx", batch=1)
    (tmp_path / "model.toml").write_text(
        f'[preprocess]\nmean = [104, 117, 123]\nstd = 58\nchannels = "bgr"\nsize = [{EDGE}, {EDGE}]\nlayout = "nchw"\n'
    )
    model = load(ModelSource(path=tmp_path, engine=engine, preprocess=Preprocess(std=(50.0,))), name="m")
    pictures = seen(model)
    assert close(model.predict(pictures), answers([p[..., ::-1] for p in pictures], (104, 117, 123), 50))
    assert model.describe()["input"]["pixels"] == "(pixel - [104, 117, 123]) / 50, bgr, nchw"


def test_streams_answer_the_same_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many threads as there are cores each get what all cores together answer; a closed model has none of it."""
    monkeypatch.setattr("worker.engines.onnx.engine.usable_cores", lambda: 3)
    model = load(ModelSource(path=write_onnx(tmp_path / "model.onnx"), engine="onnx"), name="m")
    pictures = seen(model)
    wanted = model.predict(pictures)
    assert model.engine.streams == 3
    with ThreadPoolExecutor(3) as threads:
        for found in threads.map(model.stream, [pictures] * 30):
            assert close(found, wanted)
    model.close()
    with pytest.raises(ModelError, match="closed"):
        model.stream(pictures)


def test_the_files_metadata_say_what_pixels_are(tmp_path: Path) -> None:
    """Image.NominalPixelRange and Image.BitmapPixelFormat, as ONNX defines them, are followed."""
    said = {"Image.NominalPixelRange": "Normalized_1_1", "Image.BitmapPixelFormat": "Bgr8"}
    model = load(ModelSource(path=write_onnx(tmp_path / "m.onnx", metadata=said), engine="onnx"), name="m")
    pictures = seen(model)
    assert close(model.predict(pictures), answers([p[..., ::-1] for p in pictures], 127.5, 127.5))


def test_outputs_can_be_named_for_what_they_are(tmp_path: Path) -> None:
    """With outputs = "logits" a softmax is applied even to what looks like probabilities; "probabilities" has none."""
    path = write_onnx(tmp_path / "m.onnx")
    plain = load(ModelSource(path=path, engine="onnx"), name="m")
    twice = load(ModelSource(path=path, engine="onnx", preprocess=Preprocess(outputs="logits")), name="m")
    pictures = seen(plain)
    powers = np.exp(plain.predict(pictures))
    assert close(twice.predict(pictures), powers / powers.sum(axis=1, keepdims=True))
    raw = write_onnx(tmp_path / "raw.onnx", logits=True)
    kept = load(ModelSource(path=raw, engine="onnx", preprocess=Preprocess(outputs="probabilities")), name="m")
    assert kept.predict(pictures).min() < 0


def test_what_cannot_be_served_is_said(tmp_path: Path) -> None:
    """Damaged files, wrong names, wrong devices and precisions are sentences with the cure."""
    path = write_onnx(tmp_path / "m.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"bad")
    for engine in ("onnx", "openvino", "opencv"):
        with pytest.raises(ModelError, match=r"bad\.onnx cannot be"):
            load(ModelSource(path=tmp_path / "bad.onnx", engine=engine), name="m")
        with pytest.raises(ModelError, match=r"--device gpu:7: .* sees none of this machine's GPUs"):
            load(ModelSource(path=path, engine=engine, device="gpu:7"), name="m")
    with pytest.raises(ModelError, match="--input-layer must name one of these of the model: pixels"):
        load(ModelSource(path=path, engine="onnx", input_layer="nothing"), name="m")
    with pytest.raises(
        ModelError, match="cannot run a model of the kind onnx: --engine takes onnx or openvino or opencv"
    ):
        load(ModelSource(path=path, engine="torch"), name="m")
    with pytest.raises(ModelError, match=r"12 x 12 pixels, so --size cannot be 24 x 24"):
        load(ModelSource(path=path, engine="onnx", preprocess=Preprocess(size=(24, 24))), name="m")
    with pytest.raises(ModelError, match="--precision is f32 or bf16"):
        ModelSource(path=path, precision="f16")  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_gpu_that_does_not_work_is_not_shown_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ONNX Runtime has CUDA but cannot use it, auto serves from the CPU and says so, and gpu is an error."""
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    path = write_onnx(tmp_path / "m.onnx")
    model = load(ModelSource(path=path, engine="onnx", gpu_memory_growth=True), name="m")
    assert (model.describe()["device"], model.engine.fixed_batches) == ("cpu", None)
    with pytest.raises(ModelError, match="ONNX Runtime cannot use it: check CUDA and cuDNN"):
        load(ModelSource(path=path, engine="onnx", device="gpu"), name="m")


def test_a_size_that_only_seems_free_is_found_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A model whose height and width are free but that flattens them works at one size: images are scaled to it."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    weights = np.random.default_rng(1).normal(0, 0.01, (3 * 224 * 224, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["sums"]),
        helper.make_node("Softmax", ["sums"], ["scores"]),
    ]
    entry = helper.make_tensor_value_info("images", floats, ["n", 3, "height", "width"])
    exit_ = helper.make_tensor_value_info("scores", floats, ["n", 3])
    graph = helper.make_graph(nodes, "flat", [entry], [exit_], [onnx.numpy_helper.from_array(weights, "weights")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "m.onnx")
    with caplog.at_level("INFO"):
        model = load(ModelSource(path=tmp_path / "m.onnx", engine="onnx"), name="m")
    assert "fails at other sizes than 224 x 224" in caplog.text
    assert model.predict(seen(model)).shape == (len(PHOTOS), 3)
    assert model.engine.input.batch is None
    model.close()


def test_onnx_runtime_reports_nothing(tmp_path: Path) -> None:
    """A process that loads a model with ONNX Runtime writes no device id, which its telemetry would send."""
    model = write_onnx(tmp_path / "model.onnx")
    code = (
        "import sys; from pathlib import Path; from worker.artifacts.source import ModelSource; "
        "from worker.inference.model import load; "
        "load(ModelSource(path=Path(sys.argv[1]), engine='onnx'), name='m')"
    )
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    homes = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home" / "cache")}
    subprocess.run([sys.executable, "-c", code, str(model)], env=environment | homes, check=True)
    assert not list(tmp_path.rglob("deviceid"))


def with_switch(path: Path) -> str:
    """Give the model in `path` a second input, `switch`, which is added to its scores; the first one's name."""
    model = onnx.load(path)
    entry, exit_ = model.graph.input[0].name, model.graph.output[0].name
    model.graph.input.append(onnx.helper.make_tensor_value_info("switch", onnx.TensorProto.FLOAT, [1]))
    model.graph.node.append(onnx.helper.make_node("Add", [exit_, "switch"], ["switched"]))
    model.graph.output[0].name = "switched"
    onnx.save(model, path)
    return str(entry)


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_inputs_beside_the_one_that_is_named_get_zeros(
    tmp_path: Path, engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With --input-layer the other inputs of a model, such as a switch for training, get zeros, and the log says so."""
    entry = with_switch(write_onnx(tmp_path / "model.onnx"))
    with pytest.raises(ModelError, match="--input-layer must name one of these"):
        load(ModelSource(path=tmp_path / "model.onnx", engine=engine), name="m")
    with caplog.at_level("INFO"):
        loaded = load(ModelSource(path=tmp_path / "model.onnx", engine=engine, input_layer=entry), name="m")
    assert "other input switch gets zeros" in caplog.text
    pictures = seen(loaded)
    assert close(loaded.predict(pictures), answers(pictures, *IMAGENET))


def test_opencv_refuses_a_model_with_several_inputs(tmp_path: Path) -> None:
    """OpenCV cannot tell which inputs there are, so the error names the engines that give zeros to the others."""
    entry = with_switch(write_onnx(tmp_path / "model.onnx", batch=1))
    said = {"path": tmp_path / "model.onnx", "engine": "opencv", "preprocess": Preprocess(size=(EDGE, EDGE))}
    for layer in (None, entry):
        with pytest.raises(ModelError, match=r"inputs beside that of the image.*--engine onnx or openvino give zeros"):
            load(ModelSource(**said, input_layer=layer), name="m")
    with pytest.raises(ModelError, match="The model has no input other"):
        load(ModelSource(**said, input_layer="other"), name="m")
