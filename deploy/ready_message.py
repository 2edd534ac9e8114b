"""What `p2p up` prints when it is ready: where things are, and lines to try that work as they are typed there."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from registry.runtime.tls.trust import TrustFiles


@dataclass(frozen=True, slots=True)
class Example:
    """How a shell calls: `curl` is a whole call, `p2p` the client's command, `registry` its flag for the lookup."""

    curl: str
    p2p: str
    registry: str


def ready_message(lookup_url: str, workers: list[str], example: Example, *, tokens: Path | None = None) -> str:
    """The lookup service, the addresses of the workers, and the lines to try.

    `tokens` is the file whose tokens these lines need; None: they need none.
    """
    with_token = ""
    if tokens is not None:
        with_token = (
            f"They answer callers of {tokens} only: set P2P_TOKEN for p2p, and give each curl\n"
            '-H "Authorization: Bearer $P2P_TOKEN".\n\n'
        )
    return (
        f"\nReady: the lookup service on {lookup_url}, workers on {', '.join(workers)}.\n\n"
        f"{with_token}Try:\n"
        f"    {example.curl}\n"
        f"    {example.p2p} classify{example.registry} {_cat()}\n"
        f"    {example.p2p} status{example.registry}\n\n"
        f"In a browser: {lookup_url}\n"
        "Ctrl-C stops everything."
    )


def plain_example(host: str, port: int, *, default_port: bool) -> Example:
    """The calls over plain HTTP: the article's own."""
    curl = f"curl -F data=@{_cat()} localhost:`curl -s localhost:{port}`"
    return Example(curl, _p2p_as_typed(), "" if default_port else f" --registry {host}:{port}")


def tls_example(lookup_url: str, trust: TrustFiles) -> Example:
    """The calls over TLS, with the files that are trusted and shown."""
    names = (("ca", "cacert", trust.ca), ("cert", "cert", trust.cert), ("key", "key", trust.key))
    files = [(name, flag, shlex.quote(str(path))) for name, flag, path in names if path is not None]
    variables = "".join(f"P2P_{name.upper()}={path} " for name, _, path in files)
    flags = "".join(f" --{flag} {path}" for _, flag, path in files)
    curl = f"curl{flags} -F data=@{_cat()} \"$(curl -s{flags} '{lookup_url}/next?scheme=1')\""
    return Example(curl, variables + _p2p_as_typed(), f" --registry {lookup_url}")


def _cat() -> str:
    return shlex.quote(os.path.relpath(Path(__file__).with_name("cat.jpg")))


def _p2p_as_typed() -> str:
    """`p2p` where the shell finds that of this environment, else its path from this folder."""
    script = Path(sys.executable).with_name("p2p")
    if not script.exists():
        return f"{shlex.quote(sys.executable)} -m p2pclient"
    found = shutil.which("p2p")
    return "p2p" if found and Path(found).samefile(script) else shlex.quote(os.path.relpath(script))
