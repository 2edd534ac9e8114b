"""From a contestant's description to a running server: installed where that is needed, answered once, ended whole.

A rival's file says itself what it needs and how it is asked, in inline script metadata (PEP 723): `dependencies`, and
in [tool.rival] `name`, the arguments of `python` for either table, `path`, and `body`: "raw", "multipart FIELD", or
a JSON text in which BASE64 stands for the image. `variants` are the settings of table (a) that
`benchmarks.rivals.search` compares, `settings` are those with most answers a second at 16 clients, `alone` those that
answer a lone client soonest; the file's code reads them (`model.setting`),
and {NAME} in its arguments is one. {port}, {port2} and {port3} are free ports.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import signal
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness.connections import Target
from benchmarks.harness.process_tree import descendants, resume, send
from benchmarks.harness.rounds import free_ports, server
from benchmarks.rivals.model import ENGINE, MODEL, SETTINGS

ROOT = Path(__file__).parents[2]
_SCRIPT = re.compile(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$")  # as PEP 723 gives it
_BOUNDARY = "p2p-benchmark-boundary"
_PORTS = ("port", "port2", "port3")
_TAKEN = re.compile(r"address already in use|errno 98", re.IGNORECASE)

Settings = Mapping[str, int]


class NotRunning(Exception):
    """A contestant that cannot be installed or started, and why."""


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A server to be measured: how it is started ({port}, {port2}, {port3} become free ones) and how it is asked."""

    name: str
    command: tuple[str, ...]
    path: str
    body: str
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rival:
    """What a rival's file says of itself."""

    name: str
    requires: tuple[str, ...]
    best: tuple[str, ...]
    quickstart: tuple[str, ...]
    path: str
    body: str
    settings: Settings
    alone: Settings
    variants: tuple[Settings, ...]


@dataclass(frozen=True)
class Running:
    """A contestant that has answered: where to send load, and its process."""

    target: Target
    pid: int


def rivals() -> list[Rival]:
    """All rivals that there are files for, by name."""
    files = sorted(Path(__file__).parent.glob("*_worker.py"))
    return sorted((_read(file) for file in files), key=lambda rival: rival.name)


def contestant(
    rival: Rival, *, model: Path, engine: str | None, cache: Path, settings: Settings | None = None
) -> Contestant:
    """A rival, installed: on the shared `engine` with its best settings or these, or as its quickstart has it.

    Raises NotRunning.
    """
    python = _environment(rival, cache)
    chosen = settings or rival.settings
    environ = environ_of(model, engine, chosen)
    arguments = _filled(rival.best if engine else rival.quickstart, chosen)
    command = (str(python), *arguments)
    return Contestant(name=rival.name, command=command, path=rival.path, body=rival.body, environ=environ)


def environ_of(model: Path, engine: str | None, settings: Settings) -> dict[str, str]:
    """What `benchmarks.rivals.model` reads in a contestant's processes."""
    return {MODEL: str(model), ENGINE: engine or "", SETTINGS: json.dumps(dict(settings)), "PYTHONPATH": str(ROOT)}


@contextlib.contextmanager
def running(who: Contestant, images: Sequence[Path], *, label: str, log: Path) -> Iterator[Running]:
    """The server, once it has found `label` in the first of `images`; all of its processes are ended with the block.

    It is started once more, on other ports, if another program took one of its ports meanwhile.
    Raises NotRunning with the end of its log.
    """
    with contextlib.ExitStack() as stack:
        try:
            now = stack.enter_context(_running(who, images, label, log))
        except NotRunning:
            if not _TAKEN.search(log.read_text(errors="replace")):
                raise
            now = stack.enter_context(_running(who, images, label, log))
        yield now


@contextlib.contextmanager
def _running(who: Contestant, images: Sequence[Path], label: str, log: Path) -> Iterator[Running]:
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    port = ports["port"]
    bodies = [_body(image.read_bytes(), who.body) for image in images]
    target = Target(port, tuple(_request(port, who.path, *body) for body in bodies))
    log.write_bytes(b"")
    family: set[int] = set()
    try:
        with server(_filled(who.command, ports), core=None, environ=who.environ, log=log) as process:
            try:
                answer = _first_answer(process, f"http://127.0.0.1:{port}{who.path}", *bodies[0], log)
                if label not in answer:
                    raise NotRunning(f"it does not find {label!r}: {answer[:200]}")
                yield Running(target, process.pid)
            finally:
                family = descendants(process.pid)
                resume(process.pid)  # a process that is paused does not end
    finally:
        send(signal.SIGKILL, family)  # those that did not end with their parent


def _filled(command: Sequence[str], values: Mapping[str, int]) -> list[str]:
    """Arguments with numbers in place of {names}."""
    filled = list(command)
    for name, value in values.items():
        filled = [argument.replace(f"{{{name}}}", str(value)) for argument in filled]
    return filled


def _read(file: Path) -> Rival:
    found = _SCRIPT.search(file.read_text("utf-8"))
    assert found, f"{file} says nothing of itself"
    text = "".join(line[2:] if line.startswith("# ") else line[1:] for line in found["content"].splitlines(True))
    script = tomllib.loads(text)
    said = script["tool"]["rival"]
    return Rival(
        name=said["name"],
        requires=tuple(script["dependencies"]),
        best=tuple(said["best"]),
        quickstart=tuple(said.get("quickstart", said["best"])),
        path=said["path"],
        body=said["body"],
        settings=said["settings"],
        alone=said["alone"],
        variants=tuple(said["variants"]),
    )


def _environment(rival: Rival, cache: Path) -> Path:
    """The python of a rival's own environment, layered over this one: what it needs in other versions is its own."""
    folder = cache / "benchmarks" / rival.name.lower().replace(" ", "-")
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder)
    packages = next(folder.glob("lib/python*/site-packages"))
    below = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "below.pth").write_text("\n".join(below) + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, *rival.requires], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotRunning(f"it cannot be installed: {done.stderr.strip()[-300:]}")
    return python


def _first_answer(process: subprocess.Popen[bytes], url: str, kind: str, body: bytes, log: Path) -> str:
    """The first 200, waited for up to two minutes."""
    end_s = time.monotonic() + 120
    request = urllib.request.Request(url, body, {"Content-Type": kind})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return str(answer.read().decode())
        except OSError as error:
            misunderstood = isinstance(error, urllib.error.HTTPError) and error.code in (415, 422)
            if misunderstood or process.poll() is not None or time.monotonic() > end_s:
                raise NotRunning(
                    f"{_said(error)}; its log ends with: {log.read_text(errors='replace')[-1500:]}"
                ) from error
            time.sleep(0.1)


def _said(error: OSError) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"{error}: {error.read().decode(errors='replace')[:500]}"
    return str(error)


def _body(image: bytes, kind: str) -> tuple[str, bytes]:
    """Content type and body of a request that carries one image."""
    if kind == "raw":
        return "image/jpeg", image
    if kind.startswith("multipart "):
        head = f'Content-Disposition: form-data; name="{kind.split()[1]}"; filename="image.jpg"'
        part = f"--{_BOUNDARY}\r\n{head}\r\nContent-Type: image/jpeg\r\n\r\n".encode()
        return f"multipart/form-data; boundary={_BOUNDARY}", part + image + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return "application/json", kind.replace("BASE64", base64.b64encode(image).decode()).encode()


def _request(port: int, path: str, kind: str, body: bytes) -> bytes:
    """A whole HTTP request."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body
