"""The two distributions as users install them: wheels in empty environments, without this repository in reach.

A wheel is installed by pip; what it requires is linked from the environment that runs the tests. A full install
would fetch TensorFlow, some gigabytes, and need a network; `make install` does that in every continuous
integration run. What a wheel does not declare is missing here, too.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import distribution
from pathlib import Path

import aiohttp
import pytest
from packaging.requirements import Requirement

from tests.support.command_process import command, free_port
from tests.support.packaging.bare_environment import BareEnvironment
from tests.support.waiting import until

REPOSITORY = Path(__file__).parents[3]
CAT = REPOSITORY / "deploy" / "cat.jpg"


def build(source: Path, to: Path, *options: str) -> None:
    arguments = ["--no-isolation", *options, "--outdir", str(to), str(source)]
    done = subprocess.run([sys.executable, "-m", "build", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def names_in(archive: Path) -> set[str]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return set(wheel.namelist())
    with tarfile.open(archive) as source:
        return set(source.getnames())


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make dist` makes: both distributions, each wheel built from its source archive."""
    folder = tmp_path_factory.mktemp("dist")
    build(REPOSITORY / "p2pclient", folder)
    build(REPOSITORY, folder)
    return folder


@pytest.fixture(scope="module")
def client_wheel(dist: Path) -> Path:
    (wheel,) = dist.glob("p2p_serving_client-*.whl")
    return wheel


@pytest.fixture(scope="module")
def serving_wheel(dist: Path) -> Path:
    (wheel,) = dist.glob("p2p_serving-*.whl")
    return wheel


@pytest.fixture(scope="module")
def library(client_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> BareEnvironment:
    """An application's environment: the client without any extra."""
    environment = BareEnvironment(tmp_path_factory.mktemp("library"))
    environment.install(client_wheel)
    return environment


@pytest.fixture(scope="module")
def client(client_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> BareEnvironment:
    """The client with its commands."""
    environment = BareEnvironment(tmp_path_factory.mktemp("client"))
    environment.install(client_wheel, extras=["cli"])
    return environment


@pytest.fixture(scope="module")
def lookup_host(client_wheel: Path, serving_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> BareEnvironment:
    """What a host of the lookup service needs: p2p-serving without any extra."""
    environment = BareEnvironment(tmp_path_factory.mktemp("lookup"))
    environment.install(client_wheel)
    environment.install(serving_wheel)
    return environment


@pytest.fixture(scope="module")
def worker_host(client_wheel: Path, serving_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> BareEnvironment:
    """What a worker needs that has no framework: its engine is `echo`."""
    environment = BareEnvironment(tmp_path_factory.mktemp("worker"))
    environment.install(client_wheel)
    environment.install(serving_wheel, extras=["images"])
    return environment


@asynccontextmanager
async def services(lookup_host: BareEnvironment, worker_host: BareEnvironment) -> AsyncIterator[str]:
    """Consul, the lookup service and a worker, all from installed wheels; the lookup service's address."""
    consul, lookup = free_port(), free_port()
    environ = {"CONSUL_HTTP_ADDR": f"127.0.0.1:{consul}"}
    host, worker = [str(lookup_host.bin / "p2p")], [str(worker_host.bin / "p2p")]
    async with (
        command("agent", "--port", str(consul), p2p=host),
        command("registry", "--port", str(lookup), "--state", "", environ=environ, p2p=host) as registry,
        command("worker", "--engine", "echo", environ=environ, p2p=worker) as serving,
        aiohttp.ClientSession() as http,
    ):

        async def served() -> bool:
            assert registry.running, registry.output
            assert serving.running, serving.output
            try:
                async with http.get(f"http://127.0.0.1:{lookup}/next") as answer:
                    return answer.status == 200
            except aiohttp.ClientConnectionError:
                return False

        await until(served, within_s=30)
        yield f"127.0.0.1:{lookup}"


def test_the_client_is_one_package_and_one_command(library: BareEnvironment, client_wheel: Path) -> None:
    """The client puts `p2pclient` and `p2p` into an environment, nothing of what serves, and its licence and types."""
    names = names_in(client_wheel)
    tops = {name.partition("/")[0] for name in names}
    (info,) = tops - {"p2pclient"}
    assert info.startswith("p2p_serving_client-")
    assert info.endswith(".dist-info")
    assert {"p2pclient/py.typed", f"{info}/licenses/LICENSE"} <= names
    source = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "p2pclient").rglob("*.py")}
    assert source == {name for name in names if name.endswith(".py")}
    assert (library.bin / "p2p").exists()
    for package in ("registry", "worker", "deploy", "tests"):
        assert library.run("python", "-c", f"import {package}").returncode == 1


async def test_an_application_makes_a_call(
    library: BareEnvironment, client: BareEnvironment, lookup_host: BareEnvironment, worker_host: BareEnvironment
) -> None:
    """The client without any extra classifies an image with workers that were installed from the other wheel.

    So does its command, with the extra `cli`.
    """
    program = "from p2pclient import Client\nwith Client({!r}) as client: print(client.classify({!r}).labels[0][0])"
    async with services(lookup_host, worker_host) as lookup:
        done = await asyncio.to_thread(library.run, "python", "-c", program.format(lookup, str(CAT)))
        assert (done.stdout, done.stderr) == ("width\n", "")
        done = await asyncio.to_thread(client.run, "p2p", "classify", "--registry", lookup, str(CAT))
        assert (done.stdout.split()[0], done.stderr) == ("width", "")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["classify", "cat.jpg"]])
def test_p2p_without_its_extra_says_what_to_install(library: BareEnvironment, arguments: list[str]) -> None:
    """Without typer, every use of `p2p` is answered with one sentence and the code of wrong usage."""
    done = library.run("p2p", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "p2p: its commands need typer: pip install 'p2p-serving-client[cli]'\n"


@pytest.mark.parametrize(
    ("arguments", "requirement"),
    [
        (["worker", "--model", "my-model"], "p2p-serving[worker]"),
        (["up"], "p2p-serving[worker]"),
        (["registry", "--help"], "p2p-serving"),
        (["exec", "--service", "thumbs", "--", "sleep", "1"], "p2p-serving"),
    ],
)
def test_commands_that_serve_say_what_to_install(
    client: BareEnvironment, arguments: list[str], requirement: str
) -> None:
    """Where only the client is installed, a command of p2p-serving's is one sentence that names the distribution."""
    done = client.run("p2p", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    sentence = f"p2p {arguments[0]}: this command is part of p2p-serving: pip install '{requirement}'\n"
    assert done.stderr == sentence


def test_help_lists_what_is_installed(client: BareEnvironment, lookup_host: BareEnvironment) -> None:
    """The client alone lists its three commands, and all of them with p2p-serving."""

    def listed(environment: BareEnvironment) -> list[str]:
        lines = environment.run("p2p", "--help").stdout.partition("Commands:\n")[2].splitlines()
        return [line.split()[0] for line in lines]

    own = ["classify", "lookup", "status", "events"]
    assert listed(client) == own
    keeping = ["registry", "proxy", "agent", "keys", "tokens", "drain", "undrain"]
    rolling_out = ["split", "promote", "rollback"]
    assert listed(lookup_host) == [
        *own,
        "up",
        "doctor",
        "scale",
        "worker",
        *keeping,
        *rolling_out,
        "exec",
        "label",
        "retrain",
    ]


@pytest.mark.parametrize(("role", "engine"), [("lookup", ""), ("worker", "No engine is installed")])
def test_doctor_needs_no_extra(lookup_host: BareEnvironment, role: str, engine: str) -> None:
    """On a host without an engine it examines all else, and says so only where the host is to be a worker."""
    done = lookup_host.run("p2p", "doctor", "--role", role, "--consul", "http://127.0.0.1:1")
    assert (done.returncode, done.stderr) == (2, "")
    assert "Start Consul's agent there" in done.stdout
    assert engine in done.stdout
    assert bool(engine) == ("engine" in done.stdout)


def test_a_worker_without_its_extra_says_what_to_install(lookup_host: BareEnvironment) -> None:
    """Where p2p-serving was installed without an engine, `p2p worker` names the missing package and the extra."""
    done = lookup_host.run("p2p", "worker", "--engine", "echo")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "p2p worker: it needs numpy: pip install 'p2p-serving[worker]'\n"


def test_there_is_one_version(dist: Path, client: BareEnvironment, lookup_host: BareEnvironment) -> None:
    """All four files, `p2p --version` and `p2pclient.__version__` have the one that p2pclient/pyproject.toml has."""
    version = distribution("p2p-serving-client").version
    assert {path.name for path in dist.iterdir()} == {
        f"p2p_serving_client-{version}-py3-none-any.whl",
        f"p2p_serving_client-{version}.tar.gz",
        f"p2p_serving-{version}-py3-none-any.whl",
        f"p2p_serving-{version}.tar.gz",
    }
    for environment in (client, lookup_host):
        assert environment.run("p2p", "--version").stdout == f"p2p {version}\n"
    printed = client.run("python", "-c", "import p2pclient; print(p2pclient.__version__)").stdout
    assert printed == f"{version}\n"


def test_the_servers_accept_their_own_version_of_the_client() -> None:
    """p2p-serving's requirement on the client admits the version that they share."""
    requirements = map(Requirement, distribution("p2p-serving").requires or ())
    (client,) = {str(one.specifier) for one in requirements if one.name == "p2p-serving-client" and one.specifier}
    assert Requirement(f"p2p-serving-client{client}").specifier.contains(distribution("p2p-serving").version)


@pytest.mark.parametrize("name", ["p2p_serving_client", "p2p_serving"])
def test_a_source_archive_builds_itself_again(dist: Path, tmp_path: Path, name: str) -> None:
    """An unpacked source archive makes an archive and a wheel of the same files: all that building needs is in it."""
    (archive,) = dist.glob(f"{name}-*.tar.gz")
    (wheel,) = dist.glob(f"{name}-*.whl")
    with tarfile.open(archive) as files:
        files.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    build(source, tmp_path / "again", "--sdist", "--wheel")
    for built in (archive, wheel):
        assert names_in(tmp_path / "again" / built.name) == names_in(built)
