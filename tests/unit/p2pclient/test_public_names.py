"""What importing the client brings along, and what it must not."""

from __future__ import annotations

import ast
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

import p2pclient
from p2pclient import errors, options, types


def modules_after(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after a statement."""
    program = f"{statement}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(ended.stdout.splitlines()[-1]))


def test_every_name_is_there():
    """Each name of `__all__` can be had, and `dir` shows just these."""
    assert dir(p2pclient) == sorted(p2pclient.__all__)
    for name in p2pclient.__all__:
        assert getattr(p2pclient, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nobody'"):
        _ = p2pclient.Nobody


def test_type_checkers_see_the_same_names():
    """The imports that only type checkers execute name exactly what `__all__` names."""
    tree = ast.parse(Path(p2pclient.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = [alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(seen) == sorted(p2pclient.__all__)


def test_every_error_and_type_is_exported():
    """No public class of `errors` and `types` is missing from `__all__`, and every error has the one base."""
    own = [
        value
        for module in (errors, types, options)
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__ and value is not options.CallOptions
    ]
    assert {value.__name__ for value in own} <= set(p2pclient.__all__)
    assert all(issubclass(value, p2pclient.P2PError) for value in own if issubclass(value, Exception))


@pytest.mark.parametrize("statement", ["import p2pclient, p2pclient.cli.app", "from p2pclient import *"])
def test_none_of_the_servers_is_imported(statement):
    """The client stands alone: none of our other packages, no TensorFlow, no Consul client, no numpy."""
    loaded = {name.split(".")[0] for name in modules_after(statement)}
    assert loaded.isdisjoint({"registry", "worker", "deploy", "tensorflow", "consul", "numpy", "uvloop"})


def test_the_command_line_alone_loads_no_http():
    """`--help` answers without aiohttp and asyncio; using the client does load them."""
    assert modules_after("import p2pclient.cli.app").isdisjoint({"aiohttp", "asyncio"})
    assert {"aiohttp", "asyncio"} <= modules_after("from p2pclient import Client")


def test_the_version_is_that_of_the_installed_distribution():
    """`__version__` reads the installed metadata, whichever distribution this package came with."""
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", p2pclient.__version__)


def test_a_deadline_is_a_timeout_error():
    """Code that catches TimeoutError of anything else catches a call's deadline, too."""
    error = errors.DeadlineExceeded("too late", worker="a:1", attempts=2)
    assert isinstance(error, TimeoutError)
    assert str(error) == "too late (2 attempts)"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_errors_survive_a_process_boundary():
    """An error raised in a worker pool arrives with its sentence and fields."""
    error = errors.WorkerFailed("worker a:1 failed", status=503, worker="a:1", attempts=3)
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == "worker a:1 failed (3 attempts)"
    assert (type(copy), copy.status, copy.worker, copy.attempts) == (errors.WorkerFailed, 503, "a:1", 3)
