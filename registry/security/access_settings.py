"""The settings of who may ask at a process's ports: the token file, origins of pages, names of this host."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from registry.runtime.errors import SettingsError
from registry.security.browsers.cors import ANY, origin
from registry.security.browsers.host_names import host_name


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """What --tokens, --cors-origin and --allowed-host say; without any, everybody may ask.

    Raises SettingsError for an origin or a name that cannot be one, and for the origin `*` together with tokens.
    """

    tokens: Path | None = None
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for each in self.cors_origins:
            origin(each)
        for each in self.allowed_hosts:
            host_name(each)
        if self.tokens is not None and ANY in self.cors_origins:
            raise SettingsError(
                "--cors-origin '*' and --tokens exclude each other: name the origins whose pages may use tokens."
            )

    def as_arguments(self) -> list[str]:
        """The flags that give these settings to a child process."""
        tokens = ["--tokens", str(self.tokens)] if self.tokens is not None else []
        origins = [part for each in self.cors_origins for part in ("--cors-origin", each)]
        return tokens + origins + [part for each in self.allowed_hosts for part in ("--allowed-host", each)]


OPEN_TO_ALL = AccessSettings()
"""Everybody may ask, and no web page."""
