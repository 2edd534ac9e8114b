"""The commands that the distribution p2p-serving adds to `p2p`; one that is not installed says what to install.

p2p-serving names its commands as entry points, so that the client imports nothing of what serves.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, NoReturn, TypeAlias

import typer

from p2pclient.cli.environment import EnvironmentCommand
from p2pclient.cli.terminal_output.terminal import complain

GROUP = "p2pclient.commands"
"""The entry points' group: a command's name, and the function that typer makes a command of."""

NEEDED = {
    "up": "p2p-serving[worker]",
    "doctor": "p2p-serving",
    "scale": "p2p-serving",
    "worker": "p2p-serving[worker]",
    "registry": "p2p-serving",
    "proxy": "p2p-serving",
    "agent": "p2p-serving",
    "keys": "p2p-serving",
    "tokens": "p2p-serving",
    "drain": "p2p-serving",
    "undrain": "p2p-serving",
    "split": "p2p-serving",
    "promote": "p2p-serving",
    "rollback": "p2p-serving",
    "exec": "p2p-serving",
    "label": "p2p-serving[worker]",
    "retrain": "p2p-serving[train]",
}
"""What each command needs installed, in the order of the help."""

WRONG_USAGE = 2
_INSTALLED_TOGETHER = ("p2pclient", "registry", "worker", "deploy")

Command: TypeAlias = Callable[..., Any]


def add_to(app: typer.Typer, *, first_argument: str | None) -> None:
    """Add the commands that are installed, and for each one that is not a hidden one that says what to install.

    Where `first_argument` is one of them, no other is loaded.
    """
    installed = {entry.name: entry for entry in entry_points(group=GROUP)}
    for name in [first_argument] if first_argument in NEEDED else NEEDED:
        if name not in installed:
            _add_missing(app, name, "this command is part of p2p-serving")
            continue
        try:
            command = installed[name].load()
        except ModuleNotFoundError as error:
            _add_missing(app, name, _lacking(error))
        else:
            app.command(name, cls=EnvironmentCommand)(_naming_missing_packages(name, command))


def _lacking(error: ModuleNotFoundError) -> str:
    """Which package is missing. Raises `error` where that is one of our own, which no extra brings."""
    if error.name is None or error.name.partition(".")[0] in _INSTALLED_TOGETHER:
        raise error
    return f"it needs {error.name}"


def _naming_missing_packages(name: str, command: Command) -> Command:
    """The command, which says what to install where a package of its extra is missing."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except ModuleNotFoundError as error:
            _ask_to_install(name, _lacking(error))

    return run


def _add_missing(app: typer.Typer, name: str, reason: str) -> None:
    # Whatever stands behind the command's name, --help included, gets the same answer.
    anything = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}

    def missing() -> None:
        _ask_to_install(name, reason)

    app.command(name, hidden=True, context_settings=anything)(missing)


def _ask_to_install(name: str, reason: str) -> NoReturn:
    complain(name, f"{reason}: pip install '{NEEDED[name]}'")
    raise typer.Exit(WRONG_USAGE)
