"""From the description of a contestant to a running server that has answered once; rivals are installed first.

A rival's file describes itself in inline script metadata (PEP 723): `dependencies`, and in [tool.rival] `name`, the
arguments of `python` for either table, `path`, and `body`: "raw", "multipart FIELD", or a JSON text in which BASE64
stands for the image. `variants` are the settings of table (a) that `benchmarks.rivals.search` compares, `settings`
those with the most answers per second at 16 clients, `alone` those with the least latency of a lone client. The file's
code reads them (`model.setting`); {NAME} in the arguments is replaced by a setting, {port}, {port2} and {port3} by free
ports.
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
from benchmarks.harness.p2p import ROOT
from benchmarks.harness.p2p import environ_of as checkout_environ
from benchmarks.harness.process_tree import descendants, resume, send
from benchmarks.harness.processes import free_ports, server
from benchmarks.harness.requests import FORM_TYPE, form, post
from benchmarks.rivals.model import ENGINE, MODEL, SETTINGS

_SCRIPT = re.compile(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$")  # the expression that PEP 723 gives
_PORTS = ("port", "port2", "port3")
_TAKEN = re.compile(r"address already in use|errno 98", re.IGNORECASE)

Settings = Mapping[str, int]


class NotRunning(Exception):
    """A contestant that cannot be installed or started, and why."""


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A server to be measured: how it is started, and the path and body of requests to it."""

    name: str
    command: tuple[str, ...]
    path: str
    body: str
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rival:
    """The metadata of a rival's file."""

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
    """A contestant that has answered: the target of the load, and its process."""

    target: Target
    pid: int


def rivals() -> list[Rival]:
    """All rivals, sorted by name."""
    files = sorted(Path(__file__).parent.glob("*_worker.py"))
    return sorted((_read(file) for file in files), key=lambda rival: rival.name)


def contestant(
    rival: Rival, *, model: Path, engine: str | None, cache: Path, settings: Settings | None = None
) -> Contestant:
    """A rival, installed: on the shared `engine` with its best settings or those given, else as in its quickstart.

    Raises NotRunning if it cannot be installed.
    """
    python = _environment(rival, cache)
    chosen = settings or rival.settings
    environ = environ_of(model, engine, chosen)
    arguments = _filled(rival.best if engine else rival.quickstart, chosen)
    command = (str(python), *arguments)
    return Contestant(name=rival.name, command=command, path=rival.path, body=rival.body, environ=environ)


def environ_of(model: Path, engine: str | None, settings: Settings) -> dict[str, str]:
    """The environment that `benchmarks.rivals.model` reads in a contestant's processes."""
    return {MODEL: str(model), ENGINE: engine or "", SETTINGS: json.dumps(dict(settings)), **checkout_environ(ROOT)}


@contextlib.contextmanager
def running(who: Contestant, images: Sequence[Path], *, label: str, log: Path) -> Iterator[Running]:
    """The server, once its answer to the first of `images` contains `label`; the block ends all of its processes.

    It is started once more, on other ports, if another program has taken one of its ports meanwhile.
    Raises NotRunning with the end of its log.
    """
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(_running(who, images, label, log))
        except NotRunning:
            if not _TAKEN.search(log.read_text(errors="replace")):
                raise
            server = stack.enter_context(_running(who, images, label, log))
        yield server


@contextlib.contextmanager
def _running(who: Contestant, images: Sequence[Path], label: str, log: Path) -> Iterator[Running]:
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    port = ports["port"]
    bodies = [_body(image.read_bytes(), who.body) for image in images]
    requests = (post(body, kind, path=who.path, host=f"127.0.0.1:{port}") for kind, body in bodies)
    target = Target(port, tuple(requests))
    log.write_bytes(b"")
    children: set[int] = set()
    try:
        with server(_filled(who.command, ports), core=None, environ=who.environ, log=log) as process:
            try:
                answer = _first_answer(process, f"http://127.0.0.1:{port}{who.path}", *bodies[0], log)
                if label not in answer:
                    raise NotRunning(f"it does not find {label!r}: {answer[:200]}")
                yield Running(target, process.pid)
            finally:
                children = descendants(process.pid)
                resume(process.pid)  # a paused process does not end
    finally:
        send(signal.SIGKILL, children)  # those that did not end with their parent


def _filled(command: Sequence[str], values: Mapping[str, int]) -> list[str]:
    """The arguments with values in place of {names}."""
    filled = list(command)
    for name, value in values.items():
        filled = [argument.replace(f"{{{name}}}", str(value)) for argument in filled]
    return filled


def _read(file: Path) -> Rival:
    found = _SCRIPT.search(file.read_text("utf-8"))
    assert found, f"{file} has no metadata"
    text = "".join(line[2:] if line.startswith("# ") else line[1:] for line in found["content"].splitlines(True))
    script = tomllib.loads(text)
    metadata = script["tool"]["rival"]
    return Rival(
        name=metadata["name"],
        requires=tuple(script["dependencies"]),
        best=tuple(metadata["best"]),
        quickstart=tuple(metadata.get("quickstart", metadata["best"])),
        path=metadata["path"],
        body=metadata["body"],
        settings=metadata["settings"],
        alone=metadata["alone"],
        variants=tuple(metadata["variants"]),
    )


def _environment(rival: Rival, cache: Path) -> Path:
    """The python of a rival's own environment, layered over this one, which holds what the rival needs beyond it."""
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
    """The first answer of 200; waits for up to two minutes."""
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
                    f"{_sentence(error)}; its log ends with: {log.read_text(errors='replace')[-1500:]}"
                ) from error
            time.sleep(0.1)


def _sentence(error: OSError) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"{error}: {error.read().decode(errors='replace')[:500]}"
    return str(error)


def _body(image: bytes, kind: str) -> tuple[str, bytes]:
    """Content type and body of a request that carries one image."""
    if kind == "raw":
        return "image/jpeg", image
    if kind.startswith("multipart "):
        return FORM_TYPE, form(image, "image/jpeg", field=kind.split()[1], filename="image.jpg")
    return "application/json", kind.replace("BASE64", base64.b64encode(image).decode()).encode()
