"""Options read from the environment: `--flag` of `p2p command` from P2P_<COMMAND>_<FLAG>.

Options that mean the same to all commands that have them are also read from a short name, which stands at the option,
such as P2P_CONSUL, and so are all options of the client's own commands. Where both are set the long name is used; a
flag is used in place of both.

Kubernetes sets P2P_WORKER_PORT=tcp://10.0.0.1:80 in every Pod beside a Service called p2p-worker: a value of that shape
is no port of ours, and is left out with a line that says so.
"""

from __future__ import annotations

import os
import re
from typing import Any

from typer.core import TyperCommand, TyperOption

from p2pclient.cli.terminal_output.terminal import complain

FORMER = frozenset((
    "ADVERTISE", "BODY_MEMORY", "CHANNELS", "DEADLINE", "DEVICE", "DNS_PORT", "DRAIN", "ENGINE",
    "GPU_MEMORY_GROWTH", "GRAPH", "HEALTH_PATH", "HOST", "IMAGE_DIR", "INPUT_LAYER", "LABELS", "LAYOUT",
    "LOAD_TIMEOUT", "MAX_BODY", "MAX_PIXELS", "MEAN", "MODEL", "NUM_TOP_PREDICTIONS", "OUT", "OUTPUTS",
    "OUTPUT_LAYER", "PRECISION", "PROCESSES", "QUEUE", "RESIZE", "SIZE", "START_TIMEOUT", "STATE", "STD",
    "STEPS", "STOP_TIMEOUT", "TAG", "VERSION_LABEL", "VERSION_POLICY", "WEIGHT",
))  # fmt: skip
"""Flags whose variable was P2P_<FLAG> for all commands; it is read where the new one is not set, with a warning."""

AMBIGUOUS = frozenset(("PORT", "WORKERS"))
"""Flags whose former variable P2P_<FLAG> meant different things to different commands; it is not read any more."""

_SERVICE_LINK = re.compile(r"(?:tcp|udp|sctp)://", re.IGNORECASE)
"""How the values of the variables begin that Kubernetes names after a Service, `<SERVICE>_PORT`."""


class Variables(tuple[str, ...]):
    """The names of the variables of one option, the first of them used first; errors show them as this text."""

    __slots__ = ()

    def __str__(self) -> str:
        return ", ".join(self)


class EnvironmentCommand(TyperCommand):
    """A command that reads its options from the environment, too; variables with former names get one warning."""

    def __init__(self, name: str | None, **settings: Any) -> None:
        super().__init__(name, **settings)
        self._command = name or ""
        self._options = {o.name.upper(): o for o in self.params if isinstance(o, TyperOption) and o.name}
        for flag, option in self._options.items():
            short = [option.envvar] if isinstance(option.envvar, str) else []
            option.envvar = None if option.hidden else Variables((self._variable(flag), *short))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As of `TyperCommand`; variables with former names are read after all others, Kubernetes's links never."""
        former = [flag for flag in self._options if flag in FORMER and self._has_only_former_name(flag)]
        for flag in former:
            self._options[flag].envvar = Variables((self._variable(flag), _former(flag)))
        links = {flag: self._without_links(option) for flag, option in self._options.items()}
        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:  # as the shell's completion parses
            self._warn_of_links(
                [name for flag, names in links.items() if _source(ctx, flag) == "DEFAULT" for name in names]
            )
            self._warn_of_names(ctx, [flag for flag in former if _source(ctx, flag) == "ENVIRONMENT"])
        return rest

    def _without_links(self, option: TyperOption) -> list[str]:
        """Let the option read no variable that Kubernetes has set for a Service; the names of those that it has set."""
        variables = option.envvar if isinstance(option.envvar, Variables) else Variables()
        links = [variable for variable in variables if _is_link(variable)]
        if links:
            option.envvar = Variables(variable for variable in variables if variable not in links)
        return links

    def _warn_of_links(self, variables: list[str]) -> None:
        if variables:
            named = ", ".join(f"{variable}={os.environ[variable]}" for variable in variables)
            complain(
                self._command,
                f"warning: {named} is not read: Kubernetes sets it for a Service of that name; "
                "enableServiceLinks: false in the Pod's spec stops that.",
            )

    def _warn_of_names(self, ctx: Any, former: list[str]) -> None:
        ambiguous = [flag for flag in self._options if flag in AMBIGUOUS and _source(ctx, flag) == "DEFAULT"]
        unread = [flag for flag in ambiguous if self._has_only_former_name(flag)]
        words = [f"{_former(flag)} is now called {self._variable(flag)}" for flag in former]
        words += [f"{_former(flag)} is not read any more, but {self._variable(flag)} is" for flag in unread]
        if words:
            complain(self._command, f"warning: {'; '.join(words)}.")

    def _has_only_former_name(self, flag: str) -> bool:
        return _is_set(_former(flag)) and not _is_set(self._variable(flag))

    def _variable(self, flag: str) -> str:
        return f"P2P_{self._command.upper()}_{flag}"


def _former(flag: str) -> str:
    return f"P2P_{flag}"


def _is_set(variable: str) -> bool:
    return bool(os.environ.get(variable)) and not _is_link(variable)


def _is_link(variable: str) -> bool:
    """Whether Kubernetes has set the variable for a Service, and nobody for us."""
    return variable.endswith("_PORT") and _SERVICE_LINK.match(os.environ.get(variable, "")) is not None


def _source(ctx: Any, flag: str) -> str | None:
    """Where the value of an option comes from, in click's words."""
    source = ctx.get_parameter_source(flag.lower())
    return None if source is None else source.name
