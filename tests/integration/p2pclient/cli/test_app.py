"""The application `p2p`: version, help, completion, and what it loads."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from importlib.metadata import version

import pytest

import p2pclient


def p2p_prints(*arguments, **environ):
    """What `p2p ARGUMENTS` writes to standard output; warnings are errors, and nothing may be said beside it."""
    done = subprocess.run(
        [sys.executable, "-m", "p2pclient", *arguments],
        env=os.environ | {"PYTHONWARNINGS": "error"} | environ,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_version_is_the_distributions():
    """`p2p --version` and `p2pclient.__version__` are what pip shows."""
    assert p2p_prints("--version") == f"p2p {version('p2p-serving-client')}\n"
    assert p2pclient.__version__ == version("p2p-serving-client")


def test_no_summary_is_cut_at_80_columns():
    """The list of commands fits an ordinary terminal with whole sentences."""
    lines = p2p_prints("--help", COLUMNS="80").partition("Commands:\n")[2].splitlines()
    assert len(lines) == 21
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)


@pytest.mark.parametrize(("columns", "widest"), [("80", 80), ("120", 120), ("300", 120)])
def test_help_uses_the_terminal(columns, widest):
    """Help is wrapped at the terminal's width, and at 120 columns where that is wider."""
    lines = p2p_prints("classify", "--help", COLUMNS=columns).splitlines()
    assert widest - 25 < max(map(len, lines)) <= widest


@pytest.mark.parametrize(
    ("typed", "completed"), [("p2p cl", ["classify"]), ("p2p w", ["worker"]), ("p2p classify --rou", ["--routing"])]
)
def test_the_shell_completes_commands_and_flags(typed, completed):
    """What typer's completion script asks for is answered with the commands and flags that begin so."""
    asked = {"_P2P_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    assert p2p_prints(**asked).split() == completed


def test_a_completion_script_can_be_shown():
    """`--show-completion` prints the script of the shell that it is called from."""
    line = f"{shlex.quote(sys.executable)} -m p2pclient --show-completion; exit $?"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert "complete -o default -F _p2p_completion p2p" in done.stdout


@pytest.mark.parametrize("command", ["classify", "lookup", "status"])
def test_the_clients_commands_load_nothing_that_serves(command):
    """`p2p classify` starts without the modules of p2p-serving, which cost it as much time as its own."""
    program = (
        "import sys; sys.argv = ['p2p', {!r}, '--help']\n"
        "from p2pclient.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program.format(command)], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "typer" in loaded
    assert loaded.isdisjoint({"registry", "worker", "deploy", "aiohttp", "asyncio"})
