"""Everything over TLS, as a user starts it: `p2p up` with a certificate, curl, and the client's commands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pclient import TLS, Client
from tests.e2e.conftest import Fleet, eventually, up
from tests.support.security.certificates import Authority, Pem

CAT = Path(__file__).parents[2] / "deploy" / "cat.jpg"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pem(authority: Authority) -> Pem:
    return authority.sign("server")


@pytest.fixture(scope="module")
def fleet(authority: Authority, pem: Pem) -> Iterator[Fleet]:
    """The lookup service and a worker that speak TLS; the embedded agent, or the Consul that runs here, does not."""
    files = ["--tls-cert", str(pem.cert), "--tls-key", str(pem.key), "--ca", str(authority.ca)]
    with up("--workers", "1", "--engine", "echo", *files) as fleet:
        yield fleet


def sh(line: str, **environ: str) -> str:
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=40, env=os.environ | environ)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_curl_posts_to_what_the_lookup_answers(fleet: Fleet, authority: Authority) -> None:
    """The line of the documents: one answer with the scheme, and the image goes there."""
    ca, host = authority.ca, fleet.registry
    line = f"""curl -sS --cacert {ca} -F data=@{CAT} "$(curl -sS --cacert {ca} 'https://{host}/next?scheme=1')\""""
    labels = json.loads(sh(line))
    assert len(labels) == 2  # the echo engine has two
    assert all(0 <= score <= 1 for _, score in labels)


def test_the_line_that_it_prints_works_as_it_is(fleet: Fleet) -> None:
    """What `p2p up` says to try, typed as it is; the client's command, too."""
    curl, classify, status = (line.strip() for line in fleet.lines[fleet.lines.index("Try:") + 1 :][:3])
    assert len(json.loads(sh(curl))) == 2
    assert " " in sh(classify)
    assert "1 of 1 serving" in sh(status)


def test_the_one_step_call_is_redirected_to_https(fleet: Fleet, authority: Authority) -> None:
    """`POST /` at the lookup service leads to the worker, over TLS."""
    answer = sh(f"curl -sS -L --cacert {authority.ca} -F data=@{CAT} https://{fleet.registry}/")
    assert len(json.loads(answer)) == 2


@pytest.mark.parametrize("routing", ["watch", "lookup"])
def test_the_client_follows_the_scheme(fleet: Fleet, authority: Authority, routing: str) -> None:
    """Given the authority and nothing else, the client reaches the worker over TLS."""
    with Client(f"https://{fleet.registry}", tls=TLS(ca=str(authority.ca)), routing=routing) as client:
        assert client.classify(CAT).labels
        (worker,) = client.workers()
        assert worker.scheme == "https"


@pytest.mark.parametrize(
    ("registry", "trusts", "says"),
    [
        ("http://{host}", True, "This port speaks TLS: use https://"),
        ("https://{host}", False, "its certificate is not trusted: .*P2P_CA"),
    ],
)
def test_a_client_that_is_wrong_about_tls_is_told(
    fleet: Fleet, authority: Authority, registry: str, trusts: bool, says: str
) -> None:
    """Plain HTTP at a TLS port, and an authority that it does not know: one line with the cause and the cure."""
    environ = {"P2P_CA": str(authority.ca)} if trusts else {}
    done = subprocess.run(
        [sys.executable, "-m", "p2pclient", "classify", "--registry", registry.format(host=fleet.registry), str(CAT)],
        capture_output=True,
        text=True,
        timeout=40,
        env=os.environ | environ | {"P2P_TIMEOUT": "2"},
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert re.search(says, done.stderr), done.stderr


def test_a_renewed_certificate_is_shown_without_a_restart(fleet: Fleet, authority: Authority, pem: Pem) -> None:
    """Both commands read the files again when they change; last, because it changes them."""
    before = pem.cert.read_bytes()
    authority.sign("server")
    assert pem.cert.read_bytes() != before
    eventually(lambda: sum("has been read again" in line for line in fleet.lines) == 2, within_s=10)
    with Client(f"https://{fleet.registry}", tls=TLS(ca=str(authority.ca))) as client:
        assert client.classify(CAT).labels
