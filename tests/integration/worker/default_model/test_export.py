"""The default model is made once, as a whole, quietly, and sees what is in real photographs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.photos import chelsea_jpeg, china_jpeg, coffee_jpeg, flower_jpeg
from worker.artifacts.source import ModelSource
from worker.default_model import export
from worker.errors import ModelError
from worker.inference.model import Model, load

# Exporting the model and comparing engines on it take 10 s and 20 s of a quiet machine, once for the whole module.
pytestmark = pytest.mark.timeout(400)

CATS = {"tabby", "tiger cat", "Egyptian cat", "Persian cat", "Siamese cat", "lynx"}

EXPORT = (
    "import sys, pathlib; from worker.default_model.export import exported; print(exported(pathlib.Path(sys.argv[1])))"
)

LATER = """
import json, re, sys
from pathlib import Path
from worker.artifacts.source import ModelSource
from worker.inference.model import load
model = load(ModelSource(cache=Path(sys.argv[1]), engine=sys.argv[2]), name="classify")
(scores,) = model.predict([model.decode(sys.stdin.buffer.read())])
print(json.dumps({
    "tensorflow": bool({"tensorflow", "keras", "tf2onnx"} & set(sys.modules)),
    "megabytes": int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024,
    "best": model.top(scores, 1),
}))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[subprocess.CompletedProcess[str]]:
    """What two processes print that ask for the default model at once, with an empty cache."""
    cache = tmp_path_factory.mktemp("home") / "cache"
    (cache / "making-left").mkdir(parents=True)  # by a process that was killed
    command = [sys.executable, "-c", EXPORT, str(cache)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate(timeout=300) for process in both]
    return [subprocess.CompletedProcess(p.args, p.returncode, *text) for p, text in zip(both, printed, strict=True)]


@pytest.fixture(scope="module")
def model(made: list[subprocess.CompletedProcess[str]]) -> Iterator[Model]:
    """The default model, from the cache that the two have filled."""
    default = load(ModelSource(cache=Path(made[0].stdout.strip()).parent), name="classify")
    yield default
    default.close()


def test_two_processes_that_make_it_at_once_share_one(made: list[subprocess.CompletedProcess[str]]) -> None:
    """Both get the same folder, complete, with nothing left beside it, and write nothing but its name."""
    folder = Path(made[0].stdout.strip())
    assert [(p.returncode, p.stdout, p.stderr) for p in made] == [(0, f"{folder}\n", "")] * 2
    assert sorted(p.name for p in folder.parent.iterdir()) == [".lock", folder.name]
    assert {"saved_model.pb", "labels.txt", "model.toml"} <= {p.name for p in folder.iterdir()}


def test_it_is_made_only_once(made: list[subprocess.CompletedProcess[str]]) -> None:
    """Asked for again, the folder is answered at once and untouched."""
    folder = Path(made[0].stdout.strip())
    before = (folder / "saved_model.pb").stat()
    assert export.exported(folder.parent) == folder
    assert (folder / "saved_model.pb").stat() == before


def test_photographs_are_seen(model: Model) -> None:
    """A cat, an espresso, a palace and a daisy get those labels, alone and in a batch."""
    images = [model.decode(photo()) for photo in (chelsea_jpeg, coffee_jpeg, china_jpeg, flower_jpeg)]
    together = model.predict(images)
    labels = [model.top(row, 5)[0][0] for row in together]
    assert labels[0] in CATS
    assert labels[1:] == ["espresso", "palace", "daisy"]
    assert np.allclose(np.concatenate([model.predict([image]) for image in images]), together, atol=1e-3)


def test_the_answer_is_the_articles(model: Model) -> None:
    """The cat's five best are pairs, best first, add up to at most 1, and tabby is among them."""
    (scores,) = model.predict([model.decode(chelsea_jpeg())])
    best = model.top(scores, 5)
    assert len(best) == 5
    assert [score for _, score in best] == sorted((score for _, score in best), reverse=True)
    assert 0.8 < sum(score for _, score in best) <= 1
    assert "tabby" in dict(best)


def test_it_takes_batches_of_its_size(model: Model) -> None:
    """It eats 224 x 224 centre crops in any number; its own scaling is inside, whichever engine runs it."""
    described = model.describe()
    assert described["input"] == {"size": [224, 224], "resize": "crop", "pixels": "0..255, rgb", "batch": None}
    assert (described["classes"], described["platform"]) == (1000, "tensorflow_savedmodel")
    assert model.predict([model.example()] * 5).shape == (5, 1000)


def test_engines_are_compared_on_it(model: Model) -> None:
    """TensorFlow is the reference; ONNX Runtime and OpenVINO agree with it within 1e-3 and all three are timed."""
    choice = model.describe()["engine_choice"]
    rows = {row["engine"]: row for row in choice["rows"]}
    assert (choice["reference"], list(rows)) == ("tensorflow", ["tensorflow", "openvino", "onnx"])
    assert all(row["left_out"] == "" and row["difference"] < 1e-3 for row in rows.values())
    assert all(set(row["images_per_s"]) == {"1", "8"} for row in rows.values())
    assert choice["chosen"] == model.engine.name


@pytest.mark.parametrize("engine", ["auto", "openvino"])
def test_a_later_start_needs_no_tensorflow(
    model: Model, made: list[subprocess.CompletedProcess[str]], engine: str
) -> None:
    """With the choice kept, a process that serves loads no TensorFlow, is quick, takes little memory, and sees the
    espresso as before."""
    if engine == "auto" and model.engine.name == "tensorflow":
        pytest.skip("TensorFlow was the quickest here.")
    (scores,) = model.predict([model.decode(coffee_jpeg())])
    folder = Path(made[0].stdout.strip())
    done = subprocess.run(
        [sys.executable, "-c", LATER, str(folder.parent), engine],
        input=coffee_jpeg(),
        capture_output=True,
        timeout=100,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["tensorflow"] is False
    assert found["megabytes"] < 400
    assert found["best"][0][0] == "espresso"
    assert abs(found["best"][0][1] - model.top(scores, 1)[0][1]) < 1e-3


def test_every_class_has_a_name_of_its_own() -> None:
    """The 1000 names are the first synonyms, and the classes that share one are told apart."""
    names = export.class_names()
    assert len(set(names)) == len(names) == 1000
    assert (names[281], names[134], names[517]) == ("tabby", "crane (bird)", "crane (machine)")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A cache path that is a file is an error that says which."""
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="default model cannot be kept in"):
        export.exported(tmp_path / "file")


def test_loading_a_model_needs_no_tensorflow_until_it_is_loaded() -> None:
    """Importing worker.inference.model, images and label loads no framework."""
    code = "import sys, worker.inference.model, worker.cli.label_files; "
    code += "print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_only_chatter_is_kept_from_stderr() -> None:
    """What else is written to stderr while TensorFlow is imported gets through, whoever writes it."""
    code = (
        "import os\nfrom worker.engines.tensorflow.quiet_import import quiet_tensorflow\n"
        "with quiet_tensorflow():\n"
        " os.write(2, b'I0000 00:00:1795415807.764970    5158 port.cc:153] chatter\\nours\\n')\n"
        " os.write(2, b'E0000 00:00:1795415807.764970    5158 port.cc:153] matters\\n')\n"
        "os.write(2, b'I0000 00:00:1795415807.764970    5158 port.cc:153] after\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert [line.split()[-1] for line in done.stderr.splitlines()] == ["ours", "matters", "after"]
