"""How a process logs: the format and the level of its lines, and of which requests it writes one."""

from __future__ import annotations

import enum
import logging
import sys
from dataclasses import dataclass

from registry.runtime.logs import access_log
from registry.runtime.logs.formatters import JsonFormatter, TextFormatter

PACKAGES = ("registry", "worker", "deploy")
"""The level is that of our own lines; libraries stay at INFO and above, because DEBUG of theirs may show headers."""


class LogFormat(enum.StrEnum):
    """Lines for people, or one JSON object a line."""

    TEXT = "text"
    JSON = "json"


class LogLevel(enum.StrEnum):
    """The least that is worth a line."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class LogSettings:
    """`access_sample` is the part of the requests of which the access log has a line, None where it is off."""

    format: LogFormat = LogFormat.TEXT
    level: LogLevel = LogLevel.INFO
    access_sample: float | None = None

    def as_arguments(self) -> list[str]:
        """The flags with which another process logs alike."""
        values = {"--log-format": self.format, "--log-level": self.level}
        defaults = {"--log-format": LogFormat.TEXT, "--log-level": LogLevel.INFO}
        access = [] if self.access_sample is None else ["--access-log", "--access-log-sample", str(self.access_sample)]
        return [part for flag, value in values.items() if value != defaults[flag] for part in (flag, value)] + access


def configure(settings: LogSettings) -> None:
    """Write the lines of this process to standard error. Called once, at its start."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format is LogFormat.JSON else TextFormatter())
    level = logging.getLevelNamesMapping()[settings.level.name]
    logging.basicConfig(level=max(level, logging.INFO), handlers=[handler])
    for package in PACKAGES:
        logging.getLogger(package).setLevel(level)
    if settings.access_sample is not None:  # who asks for it gets it, whatever the level of the rest
        logging.getLogger(access_log.__name__).setLevel(logging.INFO)
