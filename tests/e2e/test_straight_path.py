"""One image, end to end: real TensorFlow, real Consul, the article's curl line, and what happens when parts die.

The tests run in order on one fleet; those that take parts of it away come last.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from p2pclient import Client
from tests.e2e.conftest import Fleet, eventually, up
from tests.support import photos
from tests.support.command_process import children_of
from tests.support.consul_process import ConsulProcess

CAT = Path(__file__).parents[2] / "deploy" / "cat.jpg"


@pytest.fixture(scope="module")
def fleet(shared_consul: ConsulProcess) -> Iterator[Fleet]:
    with up("--consul", shared_consul.url) as fleet:
        yield fleet


@pytest.mark.timeout(180)  # the model may have to be exported first
def test_the_articles_line_says_cat(fleet: Fleet) -> None:
    """The article's curl line, literally, prints five pairs, best first, that add up to at most 1: a cat."""
    line = f"curl -s -F data=@{CAT} localhost:`curl -s localhost:{fleet.port}`"
    printed = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30).stdout
    pairs = json.loads(printed)
    scores = [score for _, score in pairs]
    assert len(pairs) == 5
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) <= 1
    assert re.search("cat|tabby|lynx", pairs[0][0], re.IGNORECASE), pairs


def test_any_host_form_answers_too(fleet: Fleet) -> None:
    """`/next` gives host:port, which curl takes as it is."""
    line = f"curl -s -F data=@{CAT} `curl -s localhost:{fleet.port}/next`"
    printed = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30).stdout
    assert len(json.loads(printed)) == 5


def test_two_workers_take_turns(fleet: Fleet) -> None:
    """Consecutive lookups alternate between the two workers."""
    addresses = [fleet.get("/next") for _ in range(6)]
    assert len(set(addresses)) == 2
    assert all(a != b for a, b in itertools.pairwise(addresses))


@pytest.mark.parametrize(
    ("name", "sensible"),
    [("chelsea", "cat|tabby|lynx"), ("coffee", "espresso"), ("china", "palace"), ("flower", "daisy")],
)
def test_real_photos_get_sensible_labels(fleet: Fleet, photo: Callable[[str], Path], name: str, sensible: str) -> None:
    """Each of four real photos gets a sensible first label, over HTTP."""
    pairs = json.loads(fleet.curl("-F", f"data=@{photo(name)}", fleet.get("/next").strip()))
    assert re.search(sensible, pairs[0][0], re.IGNORECASE), pairs


def test_several_images_in_one_request(fleet: Fleet, photo: Callable[[str], Path]) -> None:
    """Several `data` fields give a list of answers, in order."""
    cat, coffee = photo("chelsea"), photo("coffee")
    answer = json.loads(fleet.curl("-F", f"data=@{cat}", "-F", f"data=@{coffee}", fleet.get("/next").strip()))
    assert [len(a) for a in answer] == [5, 5]
    assert answer[1][0][0] == "espresso"


def _png_bomb() -> bytes:
    """A PNG of 30000 x 30000 pixels in a few kilobytes."""
    buffer = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(buffer, "PNG")
    return buffer.getvalue()


BAD: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "truncated": (lambda: photos.chelsea_jpeg()[:9000], 400, "truncated|damaged|broken|cut"),
    "not-an-image": (lambda: b"hello " * 100, 415, "JPEG"),
    "empty": (lambda: b"", 400, "empty"),
    "40-MB": (lambda: bytes(40 << 20), 413, "--max-body"),
    "30000x30000": (_png_bomb, 413, "--max-pixels"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_images_are_refused_while_neighbours_are_answered(
    fleet: Fleet, photo: Callable[[str], Path], tmp_path: Path, what: str
) -> None:
    """Each bad image gets its 4xx and a sentence; good ones sent to the same worker meanwhile are answered."""
    make, status, sentence = BAD[what]
    bad = tmp_path / "bad"
    bad.write_bytes(make())
    address, good = fleet.get("/next").strip(), photo("coffee")
    with open(good, "rb") as file:
        neighbours = [
            subprocess.Popen(["curl", "-sS", "-F", f"data=@{good}", address], stdout=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        assert file.read(1)
    printed = fleet.curl("-w", "\n%{http_code}", "-F", f"data=@{bad}", address)
    body, _, code = printed.rpartition("\n")
    assert (int(code), bool(re.search(sentence, json.loads(body)["error"]))) == (status, True), printed
    for neighbour in neighbours:
        assert json.loads(neighbour.communicate(timeout=30)[0])[0][0] == "espresso"


def test_a_wrong_field_name_is_explained(fleet: Fleet, photo: Callable[[str], Path]) -> None:
    """A form without `data` is 400 and says what to send."""
    printed = fleet.curl("-w", "\n%{http_code}", "-F", f"image=@{photo('coffee')}", fleet.get("/next").strip())
    body, _, code = printed.rpartition("\n")
    assert (code, "data=@" in json.loads(body)["error"]) == ("400", True)


def test_what_it_says_to_try_works_as_typed(fleet: Fleet) -> None:
    """Each line that `p2p up` ends with is a command that succeeds in the same folder; two of them see the cat."""
    lines = fleet.lines[fleet.lines.index("Try:") + 1 :]
    commands = list(itertools.takewhile(bool, lines))
    done = [subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60) for line in commands]
    assert [one.returncode for one in done] == [0, 0, 0], [one.stderr for one in done]
    assert ["Egyptian cat" in one.stdout for one in done] == [True, True, False]
    assert "2 of 2 serving" in done[2].stdout


def test_the_command_line_client_labels(fleet: Fleet, photo: Callable[[str], Path]) -> None:
    """`p2p classify` and `p2p lookup` do the two steps."""
    p2p = [sys.executable, "-m", "p2pclient"]
    where = ["--registry", f"http://{fleet.registry}"]
    classify = [*p2p, "classify", str(photo("coffee")), "--json", *where]
    done = subprocess.run(classify, capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["labels"][0][0] == "espresso", done.stderr
    done = subprocess.run([*p2p, "lookup", *where], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() in fleet.serving()


class Load:
    """Concurrent `classify` calls, going on until stopped; every outcome is kept."""

    def __init__(self, registry: str, *, clients: int = 4) -> None:
        self.answered = 0
        self.failed: list[BaseException] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(registry,)) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def more(self, count: int) -> None:
        """Wait for so many more answers."""
        wanted = self.answered + count
        eventually(lambda: self.answered >= wanted or bool(self.failed), within_s=60)

    def _call(self, registry: str) -> None:
        image = photos.coffee_jpeg()
        with Client(registry) as client:
            while not self._stop.is_set():
                try:
                    assert client.classify(image).labels[0].label == "espresso"
                    self.answered += 1
                except BaseException as error:
                    self.failed.append(error)


def test_sigterm_under_load_fails_no_request(fleet: Fleet) -> None:
    """A worker that is told to end under load leaves, finishes and ends with 0: no call fails."""
    leaving = sorted(fleet.serving())[0]
    pid = fleet.pid_of(leaving)
    with Load(fleet.registry) as load:
        load.more(10)
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: leaving not in fleet.serving(), within_s=5)
        eventually(lambda: pid not in children_of(fleet.process.pid), within_s=30)
        load.more(10)
    assert load.failed == []
    eventually(lambda: any("ended with code 0" in line for line in fleet.lines), within_s=5)


def test_kill_9_under_load_fails_no_call(fleet: Fleet) -> None:
    """kill -9 of one of two workers under load: no call fails, and within 10 s only the survivor is handed out."""
    scale = [sys.executable, "-m", "p2pclient", "scale", "2", "--port", str(fleet.port)]
    done = subprocess.run(scale, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    victim = sorted(fleet.serving())[0]
    with Load(fleet.registry) as load:
        load.more(10)
        os.kill(fleet.pid_of(victim), signal.SIGKILL)
        eventually(lambda: victim not in fleet.serving(), within_s=10)
        load.more(10)
    assert load.failed == []
    assert len(fleet.serving()) == 1


def test_ctrl_c_stops_everything(fleet: Fleet) -> None:
    """Ctrl-C ends all that was started, with code 0 and no orphan."""
    children = children_of(fleet.process.pid)
    assert len(children) == 2  # the lookup service and the worker that is left
    assert fleet.interrupt() == 0
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
