"""TLS, tokens, tickets and quotas at once, with clients' certificates and without: `p2p up`, curl, and our commands."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from p2pclient import TLS, Client
from registry.runtime.processes.parent_death import die_with_parent
from tests.e2e.conftest import Fleet, eventually, up
from tests.support.command_process import free_port
from tests.support.security.certificates import Authority, Pem
from tests.support.security.token_file import CLIENT, OF_CATS, OPERATOR, SLOW, write_tokens

CAT = Path(__file__).parents[2] / "deploy" / "cat.jpg"


@dataclass(frozen=True)
class Doors:
    """A fleet with all of it on, and what a client needs to get in; `shows` is the certificate that it shows."""

    fleet: Fleet
    folder: Path
    authority: Authority
    server: Pem
    shows: Pem | None

    @property
    def lookup(self) -> str:
        return f"https://{self.fleet.registry}"

    @property
    def tls(self) -> TLS:
        files = {} if self.shows is None else {"cert": str(self.shows.cert), "key": str(self.shows.key)}
        return TLS(ca=str(self.authority.ca), **files)

    @property
    def tls_environ(self) -> dict[str, str]:
        """The variables for a command that is a client."""
        shown = {} if self.shows is None else {"P2P_CERT": str(self.shows.cert), "P2P_KEY": str(self.shows.key)}
        return {"P2P_CA": str(self.authority.ca)} | shown

    @property
    def server_flags(self) -> list[str]:
        client_ca = [] if self.shows is None else ["--tls-client-ca", str(self.authority.ca)]
        return ["--tls-cert", str(self.server.cert), "--tls-key", str(self.server.key), *client_ca]

    @property
    def consul(self) -> str:
        """The URL of the Consul agent that `p2p up` found or started."""
        (url,) = {url for line in self.fleet.lines for url in re.findall(r"^Consul: .*(http://[\d.:]+\d)", line)}
        return url

    def header(self, token: str) -> str:
        """The flag of curl that sends a token, which no list of processes shows."""
        path = self.folder / f"{token}.txt"
        path.write_text(f"Authorization: Bearer {token}\n")
        return f"-H @{path}"

    def curl(self, arguments: str, *, status: int = 200) -> str:
        """What curl gets, with the certificates; the test fails where the answer's status is another one."""
        shown = [] if self.shows is None else ["--cert", str(self.shows.cert), "--key", str(self.shows.key)]
        curl = shlex.join(["curl", "-sS", "--max-time", "20", "--cacert", str(self.authority.ca), *shown])
        line = f"curl() {{ command {curl} \"$@\"; }}; curl -w '\\n%{{http_code}}' {arguments}"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=40)
        assert done.returncode == 0, done.stderr
        answer, _, code = done.stdout.rpartition("\n")
        assert int(code) == status, answer
        return answer

    def worker(self) -> str:
        """The origin of the worker."""
        answer: dict[str, Any] = json.loads(
            self.curl(f"{self.header(CLIENT)} -H 'Accept: application/json' {self.lookup}/next")
        )
        assert (answer["scheme"], answer["auth"]) == ("https", "ticket")
        return f"https://{answer['address']}"

    def p2p(self, *arguments: str, token: str = CLIENT) -> subprocess.CompletedProcess[str]:
        """A command of the client, given the token and the certificates by the environment."""
        environ = {"P2P_TOKEN": token, "P2P_REGISTRY": self.lookup} | self.tls_environ
        return subprocess.run(
            [sys.executable, "-m", "p2pclient", *arguments],
            capture_output=True, text=True, timeout=40, env=clean_environ() | environ,
        )  # fmt: skip


def clean_environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("P2P_", "CONSUL_"))}


@pytest.fixture(scope="module", params=[False, True], ids=["server certificates", "client certificates, too"])
def doors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """A lookup service and a worker without a model."""
    folder = tmp_path_factory.mktemp("doors")
    authority = Authority(folder / "authority")
    server = authority.sign("server")
    shows = authority.sign("client") if request.param else None
    files = ["--tls-cert", server.cert, "--tls-key", server.key, "--ca", authority.ca]
    if shows is not None:
        files += ["--tls-client-ca", authority.ca, "--cert", shows.cert, "--key", shows.key]
    access = ["--tokens", write_tokens(folder), "--ticket-keys", folder / "keys"]
    with up("--workers", "1", "--engine", "echo", *map(str, files + access)) as fleet:
        doors = Doors(fleet, folder, authority, server, shows)
        eventually(lambda: bool(doors.worker()), within_s=20)
        yield doors


def test_curl_posts_to_what_the_lookup_answers(doors: Doors) -> None:
    """The line of the documents: the address carries the scheme and the ticket, and the token is in a file."""
    header = doors.header(CLIENT)
    answer = doors.curl(f"""{header} -F data=@{CAT} "$(curl {header} '{doors.lookup}/next?scheme=1')\"""")
    assert len(json.loads(answer)) == 2


def test_the_one_step_call_carries_the_ticket(doors: Doors) -> None:
    """curl sends its token to the lookup service alone; the address that it is redirected to has the ticket."""
    answer = doors.curl(f"-L {doors.header(CLIENT)} -F data=@{CAT} {doors.lookup}/")
    assert len(json.loads(answer)) == 2


def test_without_a_token_or_a_ticket_nothing_is_answered(doors: Doors) -> None:
    """Neither an address nor a prediction; a token permits no prediction, and one of other services no ticket."""
    doors.curl(f"{doors.lookup}/next", status=401)
    worker = doors.worker()
    for header in ("", doors.header(CLIENT), doors.header(OPERATOR)):
        doors.curl(f"{header} -F data=@{CAT} {worker}/", status=401)
    doors.curl(f"{doors.header(OF_CATS)} {doors.lookup}/tickets/classify", status=403)


def test_without_a_certificate_there_is_no_connection_where_one_is_wanted(doors: Doors) -> None:
    """With --tls-client-ca a token alone opens neither port."""
    for origin in (doors.lookup, doors.worker()):
        done = subprocess.run(
            ["curl", "-sS", "--cacert", str(doors.authority.ca), f"{origin}/healthz"], capture_output=True, timeout=30
        )
        assert (done.returncode == 0) == (doors.shows is None)


@pytest.mark.parametrize("routing", ["watch", "lookup"])
def test_the_client_library_needs_no_more_than_a_token(doors: Doors, routing: str) -> None:
    """It gets its tickets by itself, for either way of finding workers."""
    with Client(doors.lookup, token=CLIENT, tls=doors.tls, routing=routing) as client:
        assert client.classify(CAT).labels
        assert client.classify(CAT).labels
        (worker,) = client.workers()
        assert worker.scheme == "https"


def test_the_clients_commands(doors: Doors) -> None:
    """`p2p classify` and `p2p status` work with a token from the environment, and say so where it is wrong."""
    classified, status = doors.p2p("classify", str(CAT)), doors.p2p("status")
    assert (classified.returncode, status.returncode) == (0, 0), classified.stderr + status.stderr
    assert "1 of 1 serving" in status.stdout
    wrong = doors.p2p("classify", str(CAT), token="wrong")
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (1, 1)
    assert "token" in wrong.stderr


def test_an_operator_reads_metrics(doors: Doors) -> None:
    """As Prometheus does, with `authorization` and `tls_config`: at both ports, with an operator's token alone."""
    for origin in (doors.lookup, doors.worker()):
        assert "# TYPE" in doors.curl(f"{doors.header(OPERATOR)} {origin}/metrics")
        doors.curl(f"{doors.header(CLIENT)} {origin}/metrics", status=403)
        doors.curl(f"{doors.header('wrong')} {origin}/metrics", status=401)
        doors.curl(f"{origin}/metrics", status=401)


def test_a_quota_goes_from_the_token_to_the_worker(doors: Doors) -> None:
    """The ticket carries it: of six requests at once of a caller that may send two per second, the last is refused."""
    ticket = json.loads(doors.curl(f"{doors.header(SLOW)} {doors.lookup}/tickets/classify"))["ticket"]
    answers = doors.curl(f"-i -F data=@{CAT} '{doors.worker()}/?ticket={ticket}&number=[1-6]'", status=429)
    assert answers.startswith("HTTP/1.1 200")
    assert "Retry-After: 1" in answers
    assert "sam has used its quota of 2 requests per second here" in answers


@contextlib.contextmanager
def proxy(doors: Doors) -> Iterator[str]:
    """`p2p proxy` with TLS and the token file; its URL."""
    port = free_port()
    upstream = [f"--upstream-{name[4:].lower()}={value}" for name, value in doors.tls_environ.items()]
    arguments = ["--port", str(port), "--consul", doors.consul, "--tokens", str(doors.folder / "tokens.toml")]
    process = subprocess.Popen(
        [sys.executable, "-m", "p2pclient", "proxy", *arguments, *doors.server_flags, *upstream],
        env=clean_environ(), stdin=subprocess.DEVNULL, start_new_session=True,
        preexec_fn=die_with_parent(signal.SIGKILL),
    )  # fmt: skip
    try:
        url = f"https://127.0.0.1:{port}"
        eventually(lambda: accepts(port), within_s=30)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_proxy_passes_a_ticket_on(doors: Doors) -> None:
    """The token is for the proxy, the ticket of any worker of the service goes in the query to the worker."""
    header = doors.header(CLIENT)
    ticket = json.loads(doors.curl(f"{header} {doors.lookup}/tickets/classify"))["ticket"]
    with proxy(doors) as url:
        answer = doors.curl(f"{header} -F data=@{CAT} '{url}/?ticket={ticket}'")
        assert len(json.loads(answer)) == 2
        doors.curl(f"-F data=@{CAT} '{url}/?ticket={ticket}'", status=401)
        doors.curl(f"{header} -F data=@{CAT} {url}/", status=401)
