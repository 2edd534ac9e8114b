"""No command sends anything to anybody but the addresses that it is told, and none leaves an identifier behind."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from PIL import Image

from tests.support.command_process import Command
from tests.support.models.dense_model import write_caffe, write_onnx, write_torch
from tests.support.photos import chelsea, coffee
from tests.support.silence.silent_network import SilentNetwork, silent_network, why_not
from tests.support.waiting import until

REPORTS_WITHIN_S = 45.0
"""ONNX Runtime, where its telemetry is on, asks for its makers' address less than 30 s after it is loaded."""

PATIENCE_S = 180.0
"""For what one command does, while all others run beside it; a minute on two idle cores."""

AGENT = ("--consul", "http://127.0.0.1:8500")
OURS = (".cache/p2p-serving/", ".local/state/p2p-serving/")
FRAMEWORKS = (".keras/keras.json", ".cache/matplotlib/")
"""What packages write into a home folder that identifies nobody: the defaults of Keras, a list of fonts."""

ASK_A_NAME_SERVER = """
import contextlib, socket
with contextlib.suppress(OSError):
    socket.getaddrinfo("example.org", 443)
"""


@pytest.fixture
async def network() -> AsyncIterator[SilentNetwork]:
    if reason := await asyncio.to_thread(why_not):
        pytest.skip(f"no namespaces can be made here: {reason}")
    async with silent_network() as network:
        yield network


class Session:
    """Commands of one user with a home folder of their own, in one silent network."""

    def __init__(self, network: SilentNetwork, folder: Path, started: AsyncExitStack) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self._network = network
        self._started = started
        self._environ: Mapping[str, str] = {
            "HOME": str(self.home),
            **dict.fromkeys(("XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), ""),
            # It must not be the environment of the tests that keeps a framework silent.
            **dict.fromkeys(("ORT_DISABLE_TELEMETRY", "CI", "TF_BUILD", "JENKINS_URL"), ""),
        }

    async def start(self, *arguments: str) -> Command:
        """Start a command that goes on until the end of the test."""
        return await self._started.enter_async_context(self._network.p2p(*arguments, environ=self._environ))

    async def run(self, *arguments: str) -> str:
        """Run a command that ends by itself; what it has printed."""
        async with self._network.p2p(*arguments, environ=self._environ) as command:
            code = await command.ended(within_s=PATIENCE_S)
            await until(lambda: command.lines, within_s=5)
            assert code == 0, f"p2p {' '.join(arguments)}: {command.output}"
            return command.output

    def files(self) -> set[str]:
        """All files in the home folder, other than ours and those of `FRAMEWORKS`."""
        found = {path.relative_to(self.home).as_posix() for path in self.home.rglob("*") if path.is_file()}
        return {name for name in found if not name.startswith((*OURS, *FRAMEWORKS))}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with ten different photos of two labels, in a folder each."""
    folder = tmp_path / "photos"
    for label, pixels in (("cat", chelsea()), ("espresso", coffee())):
        (folder / label).mkdir(parents=True)
        for number in range(5):
            Image.fromarray(pixels[20 * number :]).save(folder / label / f"{number}.jpg")
    return folder


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    """A model for each engine that is installed and needs no TensorFlow."""
    written = {"onnx": write_onnx(tmp_path / "model.onnx"), "opencv": write_caffe(tmp_path)}
    if importlib.util.find_spec("torch"):
        written["torch"] = write_torch(tmp_path / "model.pt2")
    return written | {"openvino": written["onnx"]}


async def says(command: Command, words: str) -> None:
    """Wait until a command has printed these words."""
    with contextlib.suppress(AssertionError):
        await until(lambda: words in command.output or not command.running, within_s=PATIENCE_S)
    assert words in command.output


async def test_what_leaves_is_noted(network: SilentNetwork) -> None:
    """The trap is no dead end: a question to a name server is seen, with the name that is asked for."""
    async with network.run(sys.executable, "-c", ASK_A_NAME_SERVER):
        await until(lambda: network.packets, within_s=20)
    assert network.packets[0] == "UDP to 192.0.2.53, port 53, asks for example.org"


@pytest.mark.timeout(2 * PATIENCE_S)
async def test_no_command_phones_home(
    network: SilentNetwork, photos: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    """Every command and engine runs side by side, with ONNX Runtime for 45 s: no packet leaves, and no file is left in
    the home folder that is not ours."""
    photo = str(photos / "cat" / "0.jpg")
    async with AsyncExitStack() as started:
        session = Session(network, tmp_path, started)
        up = await session.start("up", "--workers", "1")
        agent = await session.start("agent", "--port", "8501")
        registry = await session.start("registry", "--port", "12481", *AGENT, "--dns-port", "8653")
        proxy = await session.start("proxy", "--service", "onnx", *AGENT)
        workers = [
            await session.start("worker", "--service", engine, "--engine", engine, "--model", str(path), *AGENT)
            for engine, path in models.items()
        ]
        echo = await session.start("worker", "--service", "echo", "--engine", "echo", *AGENT)
        other = await session.start(
            "exec", "--service", "other", *AGENT, "--", sys.executable, "-m", "http.server", "-b", "127.0.0.1", "{port}"
        )
        await says(workers[0], "Serving onnx on")
        onnx_ready_s = time.monotonic()

        retrained = str(tmp_path / "retrained")
        await asyncio.gather(
            session.run("--help"),
            session.run("retrain", "--image-dir", str(photos), "--out", retrained, "--steps", "2"),
            says(up, "Ready"),
        )
        tensorflow = await session.start(
            "worker", "--service", "tf", "--engine", "tensorflow", "--model", retrained, *AGENT
        )
        await asyncio.gather(
            session.run("label", "--model", str(models["onnx"]), photo),
            session.run("classify", photo),
            session.run("lookup", "onnx"),
            session.run("status"),
            says(tensorflow, "Serving tf on"),
        )
        await asyncio.sleep(max(0, onnx_ready_s + REPORTS_WITHIN_S - time.monotonic()))
        running = [up, agent, registry, proxy, *workers, echo, other, tensorflow]
        assert [command.output for command in running if not command.running] == []
        for command in running:
            command.send(signal.SIGTERM)
        await asyncio.gather(*(command.ended() for command in running))
    assert network.packets == []
    assert session.files() == set()
