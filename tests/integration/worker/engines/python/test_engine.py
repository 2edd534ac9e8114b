"""A Python file in a process of its own: what it loads, how it fails, and that it comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.waiting import until
from worker.artifacts.preprocess_config import Preprocess
from worker.engines.python.engine import PythonClassifier, PythonTensors, load
from worker.engines.python.model_process import ModelProcess
from worker.engines.tensors import Tensors, joined
from worker.errors import Busy, ModelError

BLACK, WHITE = np.zeros((4, 6, 3), np.uint8), np.full((5, 3, 3), 255, np.uint8)

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a Python file that imports NumPy."""

    def written(text: str) -> Path:
        path = tmp_path / "model.py"
        path.write_text("import os, sys, numpy as np\nfrom numpy.typing import NDArray\n" + textwrap.dedent(text))
        return path

    return written


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for a thread or a process."""
    asyncio.run(until(condition, within_s=60.0))


LABELLING = """
class Labelling:
    def load(self):
        self.labels = ["dark", "bright"]

    def predict(self, images: list[np.ndarray]) -> list[str]:
        return [self.labels[int(image.mean() > 127)] for image in images]
"""


def test_labels_become_scores(write: Write) -> None:
    """A model that returns labels is a classifier: one score of 1 for each image, and images may differ in size."""
    engine = load(write(LABELLING), Preprocess(), name="m")
    try:
        assert isinstance(engine, PythonClassifier)
        assert engine.labels == ("dark", "bright")
        assert engine.predict([WHITE, BLACK, WHITE]).tolist() == [[0, 1], [1, 0], [0, 1]]
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1", "must have one class with the methods load(self) and predict(self, ...)"),
        ("import none_such", "ModuleNotFoundError: No module named 'none_such'"),
        ("sys.exit(3)", "SystemExit: 3"),
        ("os._exit(3)", "its process has ended"),
        (LABELLING.replace('self.labels = ["dark", "bright"]', "pass"), "must set self.labels to all labels"),
        (LABELLING.replace("list[str]", "int"), "returns int, which cannot be served"),
        (LABELLING.replace("[self.labels[", '["x" or [').replace("load(self)", "load(self)"), "not in self.labels"),
        (LABELLING + LABELLING.replace("Labelling", "Other"), "it has Labelling, Other"),
    ],
)
def test_what_cannot_be_served_is_said_at_load(write: Write, text: str, sentence: str) -> None:
    """The file, the annotation or the exception at fault is in the sentence; no process stays behind."""
    with pytest.raises(ModelError) as raised:
        load(write(text), Preprocess(), name="m")
    assert sentence in str(raised.value)


def test_pixels_are_the_models_own(write: Write) -> None:
    """Scaling by flags would happen twice, so it is refused; the size is the worker's."""
    code = write(LABELLING)
    with pytest.raises(ModelError, match="leave out mean, std"):
        load(code, Preprocess(mean=(1.0,), std=(2.0,)), name="m")
    engine = load(code, Preprocess(size=(8, 9)), name="m")
    engine.close()
    assert engine.input.size is not None
    assert (engine.input.size.height, engine.input.size.width) == (8, 9)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelProcess]:
    code = tmp_path_factory.mktemp("model") / "model.py"
    code.write_text(
        textwrap.dedent("""
        import os, sys, time
        import numpy as np

        class Obedient:
            def load(self):
                self.kept = []
                print("loaded by", os.getpid())

            def predict(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
                (name, x), = inputs.items()
                match name:
                    case "exit":
                        os._exit(7)
                    case "raise":
                        raise KeyError("no such thing")
                    case "keep":
                        self.kept.append(x)
                        return {"first": np.array([float(kept.flat[0]) for kept in self.kept[:1]] * len(x))}
                    case "change":
                        x += 1
                    case "short":
                        return {"y": x[:-1]}
                    case "complex":
                        return {"y": x * 1j}
                return {"y": x}
        """)
    )
    process = ModelProcess(code, name="obedient")
    yield process
    process.close()
    assert process.pid is None


@pytest.mark.parametrize("dtype", ["?", "i1", "<u2", "<i8", "<f2", "<f4", "<f8", ">f4"])
def test_numbers_come_back_as_they_were(process: ModelProcess, dtype: str) -> None:
    """Every type of numbers, in any memory order, survives both ways."""
    sent = np.arange(24).reshape(2, 3, 4).astype(dtype)[:, ::-1]
    (got,) = process.predict({"x": sent})
    assert np.array_equal(got.arrays["y"], sent)


def test_bytes_come_back_as_they_were(process: ModelProcess) -> None:
    """Elements of BYTES may be empty, long, and hold any byte."""
    sent = np.empty(3, dtype=object)
    sent[:] = [b"", bytes(range(256)) * 400, "é".encode()]
    (got,) = process.predict({"x": sent})
    assert got.arrays["y"].tolist() == sent.tolist()


def test_a_large_batch_gets_more_memory(process: ModelProcess) -> None:
    """Memory grows with what is sent, and stays for smaller batches."""
    for rows in (10, 3_000_000, 10):
        sent = np.arange(rows, dtype=np.float32)
        assert np.array_equal(joined(process.predict({"x": sent})).arrays["y"], sent)


def test_arrays_that_a_model_keeps_do_not_change(process: ModelProcess) -> None:
    """A later batch is written elsewhere; a model may also write into what it gets."""
    for number in (1.0, 2.0, 3.0):
        (got,) = process.predict({"keep": np.array([number], np.float32)})
        assert got.arrays["first"].tolist() == [1.0]
    (got,) = process.predict({"change": np.zeros(2, np.float32)})
    assert got.arrays["y"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("raise", "KeyError: 'no such thing'"),
        ("short", "its first axis must be 2"),
        ("complex", "elements of the type complex"),
    ],
)
def test_a_failure_of_the_model_is_said_and_ends_nothing(process: ModelProcess, name: str, sentence: str) -> None:
    """The process goes on with the next batch."""
    pid = process.pid
    with pytest.raises(ModelError) as raised:
        process.predict({name: np.zeros(2)})
    assert sentence in str(raised.value)
    assert process.pid == pid
    assert process.predict({"x": np.zeros(1)})


@pytest.mark.parametrize("by", ["itself", "signal"])
def test_a_process_that_ends_comes_back(process: ModelProcess, by: str) -> None:
    """The batch in flight is refused as busy, so that clients ask another worker; a new process takes over."""
    before, pid = process.starts, process.pid
    assert pid is not None
    if by == "itself":
        with pytest.raises(Busy, match="is started again: its process has ended") as raised:
            process.predict({"exit": np.zeros(1)})
        assert raised.value.retry_after_s >= 1
    else:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: process.starts > before)
    assert process.trouble is None
    assert process.pid != pid
    assert process.predict({"x": np.zeros(1)})


def test_signals_to_the_whole_service_do_not_end_it(process: ModelProcess) -> None:
    """Ctrl-C and a service manager's SIGTERM reach all processes: the worker decides when this one ends."""
    pid = process.pid
    assert pid is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(pid, number)
    assert process.predict({"x": np.zeros(1)})
    assert process.pid == pid


def test_the_kernel_ends_it_before_the_worker(process: ModelProcess) -> None:
    """Where memory is short, the process with the leak goes."""
    assert int(Path(f"/proc/{process.pid}/oom_score_adj").read_text()) >= 500


def test_a_batch_that_hangs_ends_the_process(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prediction without an end costs its process and not the worker."""
    monkeypatch.setattr("worker.engines.python.process.PREDICT_WITHIN_S", 0.05)
    code = write("""
    import threading
    class Hanging:
        def load(self):
            pass

        def predict(self, x: NDArray[np.int64]) -> NDArray[np.int64]:
            threading.Event().wait()
    """)
    process = ModelProcess(code, name="m")
    try:
        with pytest.raises(Busy, match=r"a prediction took longer than 0.05 s"):
            process.predict({"x": np.zeros(1, np.int64)})
        eventually(lambda: process.starts == 2)
    finally:
        process.close()


def test_a_file_that_takes_other_things_by_now_does_not_come_back(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    """A version is what was loaded: with another signature under its name, requests would mean something else."""
    process = ModelProcess(write(LABELLING), name="m")
    try:
        write(LABELLING.replace('"bright"', '"light", "bright"'))
        pid = process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: "takes or gives other things now" in (process.trouble or ""))
        with pytest.raises(Busy):
            process.predict({"image": np.zeros(1)})
    finally:
        process.close()
    assert "It starts again in" in caplog.text


def test_what_a_model_prints_is_logged(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    """Standard output and standard error, tracebacks included, line by line, under the model's name."""
    caplog.set_level("INFO")
    code = write("""
    class Printing:
        def load(self):
            print("hello")
            print("there", file=sys.stderr)

        def predict(self, x: NDArray[np.int64]) -> NDArray[np.int64]:
            return x / 0 if x[0] else x.none_such
    """)
    process = ModelProcess(code, name="printing")
    with pytest.raises(ModelError):
        process.predict({"x": np.zeros(1, np.int64)})
    process.close()
    assert {"printing: hello", "printing: there"} <= set(caplog.messages)
    assert any("AttributeError" in message for message in caplog.messages)


def test_it_ends_with_the_worker(write: Write) -> None:
    """A worker that is killed leaves no process behind, even one that is computing."""
    code = write("""
    class Busy:
        def load(self):
            print(os.getpid())

        def predict(self, x: NDArray[np.int64]) -> NDArray[np.int64]:
            while True:
                pass
    """)
    program = f"""
import logging, sys
from pathlib import Path
import numpy as np
from worker.engines.python.model_process import ModelProcess
process = ModelProcess(Path({str(code)!r}), name="busy")
print(process.pid, flush=True)
process.predict({{"x": np.zeros(1, np.int64)}})
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        worker.kill()
    eventually(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text())


def test_modules_beside_the_file_can_be_imported(write: Write, tmp_path: Path) -> None:
    """A model may consist of several files."""
    (tmp_path / "p2p_beside.py").write_text("FACTOR = 3")
    code = write("""
    from p2p_beside import FACTOR
    class Model:
        def load(self):
            pass

        def predict(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> dict[str, np.ndarray]:
            return {"z": FACTOR * x + y, "text": np.array(["a"] * len(x))}
    """)
    engine = load(code, Preprocess(), name="m")
    try:
        assert isinstance(engine, PythonTensors)
        (part,) = engine.predict(Tensors({"x": np.ones(2, np.float32), "y": np.ones(2, np.float32)}))
        assert part.arrays["z"].tolist() == [4, 4]
        assert part.arrays["text"].tolist() == [b"a", b"a"]
    finally:
        engine.close()
