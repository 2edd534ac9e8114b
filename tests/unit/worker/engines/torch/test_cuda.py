"""The order in which the engine asks CUDA for things, with fakes of its streams, events and graphs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'p2p-serving[torch]'")

from worker.engines.torch import cuda  # noqa: E402 - needs torch


class FakeStream:
    """A stream whose name tells what it is for: the first one that is made computes, the second one copies."""

    made = 0

    def __init__(self, device: Any) -> None:
        self.name = ("computing", "copying")[FakeStream.made % 2]
        FakeStream.made += 1

    def record_event(self) -> str:
        return f"event of {self.name}"

    def wait_event(self, event: str) -> None:
        LOG.append(f"{self.name} waits for the {event}")


LOG: list[str] = []


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A `CudaDevice` over fakes, on the CPU."""
    LOG.clear()
    FakeStream.made = 0

    @contextlib.contextmanager
    def stream(used: FakeStream) -> Iterator[None]:
        LOG.append(f"on {used.name}")
        yield

    @contextlib.contextmanager
    def graph(_: Any, *, pool: str, stream: FakeStream, capture_error_mode: str) -> Iterator[None]:
        LOG.append(f"record on {stream.name} in the {pool}, {capture_error_mode}")
        yield

    class Graph:
        def replay(self) -> None:
            LOG.append("replay")

    fakes = {"Stream": FakeStream, "stream": stream, "graph": graph, "CUDAGraph": Graph}
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: LOG.append("the network is there"))
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda _, used: LOG.append(f"kept until {used.name} is done"))
    return cuda.CudaDevice(torch.device("cpu"))


def doubled(pixels: Any) -> Any:
    LOG.append(f"compute {pixels.tolist()}")
    return pixels * 2


def test_a_batch_is_computed_when_its_upload_is_complete(device: Any) -> None:
    """On another stream than the one that copies; the pixels' memory is not reused before."""
    upload = device.upload(torch.tensor([1, 2]))
    assert device.run(doubled, upload).tolist() == [2, 4]
    assert LOG == [
        "the network is there",
        "on copying",
        "on computing",
        "computing waits for the event of copying",
        "kept until computing is done",
        "compute [1, 2]",
    ]


def test_a_graph_is_recorded_after_the_network_has_run_and_replayed_on_new_pixels(device: Any) -> None:
    """On the stream that computes, so that other threads may use the GPU meanwhile; pixels go where it reads them."""
    held: list[Any] = []

    def compute(pixels: Any) -> Any:
        held.append(pixels)
        return doubled(pixels)

    replay = device.recorded(compute, device.upload(torch.tensor([1, 2])))
    recording = LOG.index("record on computing in the pool, thread_local")
    assert LOG[:recording].count("compute [1, 2]") == 3
    assert LOG[recording + 1 :] == ["compute [1, 2]"]
    scores = replay(torch.tensor([5, 6]))
    assert LOG[-1] == "replay"
    assert scores.tolist() == [2, 4]  # the fake graph computes nothing
    assert all(pixels is held[0] for pixels in held)
    assert held[0].tolist() == [5, 6]
