"""A model that could run code or touch files is refused before a framework reads it, unless that is allowed."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import reduce
from pathlib import Path

import pytest

from registry.consul.settings import ConsulSettings
from tests.support.models.dense_model import EDGE, write_onnx
from tests.support.models.malicious_models import RUNNING, rewrite, saved_model_initializer
from tests.support.waiting import until
from worker.artifacts.formats import format_of
from worker.artifacts.preprocess_config import Preprocess
from worker.artifacts.safety.check import refuse_unsafe
from worker.artifacts.source import ModelSource
from worker.batching.core_scheduler import CoreScheduler
from worker.engines.tensorflow.quiet_import import quiet_tensorflow
from worker.errors import ModelError
from worker.inference.model import load
from worker.repository.loader import running_threads
from worker.repository.model_versions import ModelVersions
from worker.repository.request_epochs import RequestEpochs
from worker.settings import WorkerSettings
from worker.telemetry.metrics import WorkerMetrics

with quiet_tensorflow():
    import keras  # noqa: F401  # it is imported without its start-up messages

# Keras 3 and NumPy 2 disagree on how arrays are copied; TorchScript is deprecated, but its files are still in use.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras"),
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
]

NAMED = {
    "keras_lambda": r"the layer evil \(a Lambda",
    "h5_lambda": r"the layer evil \(a Lambda",
    "saved_model_writing": "the operation WriteFile",
    "saved_model_calling_python": "the operation EagerPyFunc",
    "saved_model_saving": "the operation SaveV2",
    "saved_model_printing": "the operation PrintV2",
    "frozen_graph_writing": "the operation WriteFile",
    "torchscript_saving": "save in its code",
    "torchscript_at_load": "save in its code",
    "exported_with_evil_size": "the size __import__",
    "exported_with_evil_guard": "a condition",
    "exported_with_pickle": "a pickle of other things than tensors",
    "pickled_module": "holds weights or a pickled module",
}
"""What the error must name, by kind."""

LOADED = """
import sys
from pathlib import Path
from worker.artifacts.preprocess_config import Preprocess
from worker.artifacts.source import ModelSource
from worker.errors import ModelError
from worker.inference.model import load
for path in map(Path, sys.argv[2:]):
    try:
        said = ModelSource(path=path, engine=sys.argv[1], preprocess=Preprocess(size=(12, 12)), allow_unsafe=True)
        model = load(said, name="m")
        model.predict([model.example()] * 2)
    except ModelError as error:
        print(path, error)
"""


def source(path: Path, cache: Path, **said: object) -> ModelSource:
    return ModelSource(path=path, cache=cache, preprocess=Preprocess(size=(EDGE, EDGE)), **said)  # type: ignore[arg-type]


def of_tensorflow(kind: str) -> bool:
    return kind.startswith(("keras", "h5", "saved", "frozen"))


def written(kind: str, folder: Path, marker: Path) -> Path:
    if not of_tensorflow(kind):
        pytest.importorskip("torch", reason="torch is not installed: pip install 'p2p-serving[torch]'")
    path = RUNNING[kind](folder, marker)
    for left in marker.parent.glob(f"{marker.name}*"):  # writing some of them runs them
        left.unlink()
    return path


@pytest.mark.parametrize("kind", RUNNING)
def test_code_in_a_model_does_not_run(tmp_path: Path, kind: str) -> None:
    """With `--engine auto`, a worker refuses the model in one sentence, and nothing of the model has run."""
    (tmp_path / "made").mkdir()
    marker = tmp_path / "marker"
    path = written(kind, tmp_path / "made", marker)
    with pytest.raises(ModelError, match=NAMED[kind]) as refused:
        load(source(path, tmp_path / "cache"), name="m")
    assert "\n" not in str(refused.value)
    assert "--allow-unsafe-model" in str(refused.value)
    assert not list(tmp_path.glob("marker*"))
    assert not (tmp_path / "cache").exists(), "nothing was compared"


@pytest.mark.parametrize("engine", ["tensorflow", "torch"])
def test_code_in_a_model_runs_if_that_is_allowed(tmp_path: Path, engine: str) -> None:
    """With `--allow-unsafe-model` the code of the same models runs: the other test tests something."""
    kinds = [kind for kind in RUNNING if of_tensorflow(kind) == (engine == "tensorflow")]
    for kind in kinds:
        (tmp_path / kind).mkdir()
    paths = [written(kind, tmp_path / kind, tmp_path / kind / "marker") for kind in kinds]
    ran = subprocess.run([sys.executable, "-c", LOADED, engine, *paths], capture_output=True, text=True, timeout=100)
    silent = {kind for kind in kinds if not list((tmp_path / kind).glob("marker*"))}
    # Another process does not know the function that the graph names by number.
    assert silent == ({"saved_model_calling_python"} if engine == "tensorflow" else set()), ran.stdout + ran.stderr


def with_wrong_checksums(path: Path) -> Path:
    """The archive with other checksums for its sources, which PyTorch does not look at."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        sums = [info.CRC.to_bytes(4, "little") for info in archive.infolist() if info.filename.endswith(".py")]
    path.write_bytes(reduce(lambda whole, each: whole.replace(each, bytes(4)), sums, bytes(content)))
    return path


def in_utf_16(path: Path) -> Path:
    """The archive with its program in UTF-16, which json reads as well."""
    rewrite(path, lambda name, old: old.decode().encode("utf-16") if name.endswith("models/model.json") else old)
    return path


def twice(path: Path) -> Path:
    """The archive with a harmless file of the same name, but for its case, at the end."""
    with zipfile.ZipFile(path, "a") as archive:
        name = next(name for name in archive.namelist() if name.endswith(".py"))
        archive.writestr(name.upper(), "")
    return path


def as_pt(path: Path) -> Path:
    """The file of torch.export by the name of one of TorchScript."""
    return path.rename(path.with_suffix(".pt"))


@pytest.mark.parametrize(
    ("kind", "disguised"),
    [
        ("torchscript_at_load", with_wrong_checksums),
        ("torchscript_at_load", twice),
        ("exported_with_evil_size", in_utf_16),
        ("exported_with_evil_guard", as_pt),
    ],
)
def test_a_disguise_does_not_help(tmp_path: Path, kind: str, disguised: Callable[[Path], Path]) -> None:
    """What PyTorch reads and Python's libraries do not, or otherwise, is refused as well."""
    (tmp_path / "made").mkdir()
    path = disguised(written(kind, tmp_path / "made", tmp_path / "marker"))
    with pytest.raises(ModelError, match="--allow-unsafe-model"):
        load(source(path, tmp_path / "cache"), name="m")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("damaged", [b"", b'"Sequential"', b"PK\x01\x02"])
def test_a_file_of_two_kinds_is_looked_into_as_both(tmp_path: Path, damaged: bytes) -> None:
    """HDF5 may follow a zip archive and be followed by one: Keras reads the one, and the other must not be believed.

    That the other is damaged (its content, which then has another checksum, or its list of files) hides nothing.
    """
    evil = written("h5_lambda", tmp_path, tmp_path / "marker")
    with zipfile.ZipFile(evil, "a") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": []}}))
    if damaged:
        content = evil.read_bytes()
        at = content.rindex(damaged)
        evil.write_bytes(content[:at] + bytes(2) + content[at + 2 :])
    assert zipfile.is_zipfile(evil)
    with pytest.raises(ModelError, match="the layer evil"):
        load(source(evil, tmp_path / "cache"), name="m")


@pytest.mark.parametrize("name", ["m.pb", "m.onnx", "m.keras", "m.h5", "m.pt", "m.pt2"])
@pytest.mark.parametrize("content", [b"", b"no model", b"\x12\x05ab", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_model_is_left_to_its_framework(tmp_path: Path, name: str, content: bytes) -> None:
    """A damaged file passes the check, or is refused by it; nothing else is raised."""
    (tmp_path / name).write_bytes(content)
    with contextlib.suppress(ModelError):
        refuse_unsafe(tmp_path / name, format_of(tmp_path / name))


def test_labels_that_lead_out_of_the_models_folder_are_refused(tmp_path: Path) -> None:
    """A model's labels.txt may not be a link to any file, whose lines would be in the answers; --labels names any."""
    (tmp_path / "model").mkdir()
    path = write_onnx(tmp_path / "model" / "m.onnx")
    secret = tmp_path / "secret"
    secret.write_text("a\nb\nc\nd\n")
    (path.parent / "labels.txt").symlink_to(secret)
    with pytest.raises(ModelError, match="name them with --labels"):
        load(source(path, tmp_path / "cache", engine="onnx"), name="m")
    model = load(source(path, tmp_path / "cache", engine="onnx", labels=path.parent / "labels.txt"), name="m")
    assert model.labels == ("a", "b", "c", "d")


async def test_a_new_version_obeys_the_same_rule(tmp_path: Path) -> None:
    """In a watched folder, a version that could run code fails its trial load, and the version before goes on."""
    root, marker = tmp_path / "model", tmp_path / "marker"
    (root / "1").mkdir(parents=True)
    write_onnx(root / "1" / "m.onnx")
    made = RUNNING["frozen_graph_writing"](tmp_path, marker)
    settings = WorkerSettings(
        backend=ConsulSettings(url="http://127.0.0.1:9"),
        source=source(root, tmp_path / "cache", engine="onnx"),
        watch_s=0.05,
    )
    with running_threads(decoding=1) as threads:
        async with ModelVersions(
            settings.models[0],
            settings,
            threads=threads,
            scheduler=CoreScheduler(),
            numbers=WorkerMetrics(),
            requests=RequestEpochs(),
        ) as versions:
            await versions.load()
            (root / "2.part").mkdir()
            made.rename(root / "2.part" / "graph.pb")
            (root / "2.part").rename(root / "2")
            await until(lambda: any("WriteFile" in status.error for status in versions.statuses()), within_s=60)
            assert versions.current.model.version == "1"
    assert not marker.exists()


def test_a_table_that_is_read_from_a_file_is_refused(tmp_path: Path) -> None:
    """A SavedModel's table could be any file of the machine, whose lines its answers would give away."""
    path = saved_model_initializer(tmp_path, tmp_path / "marker")
    with pytest.raises(ModelError, match="the operation InitializeTableFromTextFileV2"):
        load(source(path, tmp_path / "cache"), name="m")


@pytest.mark.parametrize("place", ["../secret.bin", "absolute", "link.bin"])
def test_weights_outside_the_models_folder_are_refused(tmp_path: Path, place: str) -> None:
    """An .onnx file names no file outside its folder as its weights, directly or through a link; it names the file."""
    folder = tmp_path / "model"
    folder.mkdir()
    secret = tmp_path / "secret.bin"
    named = str(secret) if place == "absolute" else place
    (folder / "link.bin").symlink_to(secret)
    path = external(folder, named, secret)
    with pytest.raises(ModelError, match="outside its folder") as refused:
        load(source(path, tmp_path / "cache"), name="m")
    assert named in str(refused.value)


def test_openvinos_weights_are_no_link_out_of_the_folder(tmp_path: Path) -> None:
    """The .bin beside an .xml may not be any file of the machine."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "m.xml").write_text("<net/>")
    (tmp_path / "model" / "m.bin").symlink_to(tmp_path / "secret")
    with pytest.raises(ModelError, match="outside its folder"):
        load(source(tmp_path / "model" / "m.xml", tmp_path / "cache"), name="m")


def test_weights_in_a_store_of_links_are_read(tmp_path: Path) -> None:
    """Model and weights may both be links into one other folder, as caches of downloads make them."""
    store, folder = tmp_path / "blobs", tmp_path / "snapshot"
    store.mkdir()
    folder.mkdir()
    made = external(store, "model.onnx.data", store / "b2")
    made.rename(store / "b1")
    (folder / "model.onnx").symlink_to("../blobs/b1")
    (folder / "model.onnx.data").symlink_to("../blobs/b2")
    assert load(source(folder / "model.onnx", tmp_path / "cache", engine="onnx"), name="m").engine.classes == 4


def external(folder: Path, place: str, file: Path) -> Path:
    """An .onnx file whose weights lie in `file`, and are said to be in `place`."""
    import onnx

    model = onnx.load(str(write_onnx(folder / "model.onnx")))
    (weights,) = (tensor for tensor in model.graph.initializer if tensor.name == "weights")
    file.write_bytes(weights.raw_data)
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", place
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


def test_a_copy_of_a_safe_model_is_not_its_unsafe_choice(tmp_path: Path) -> None:
    """A choice of engines that was made while unsafe models were allowed does not let the model load later."""
    path = RUNNING["saved_model_printing"](tmp_path, tmp_path / "marker")
    model = load(source(path, tmp_path / "cache", allow_unsafe=True), name="m")
    model.close()
    with pytest.raises(ModelError, match="PrintV2"):
        load(source(path, tmp_path / "cache"), name="m")
    shutil.rmtree(tmp_path / "cache")
