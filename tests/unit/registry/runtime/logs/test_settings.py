"""How a process logs, as flags and in effect."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from registry.runtime.logs.settings import PACKAGES, LogFormat, LogLevel, LogSettings, configure


def test_settings_are_passed_on_as_flags() -> None:
    """Only those that differ from the defaults."""
    assert LogSettings().as_arguments() == []
    settings = LogSettings(LogFormat.JSON, LogLevel.WARNING, 0.01)
    flags = "--log-format json --log-level warning --access-log --access-log-sample 0.01"
    assert settings.as_arguments() == flags.split()


@pytest.fixture
def loggers() -> Iterator[None]:
    """The loggers are afterwards as they were."""
    names = ("", *PACKAGES)
    before = {name: (logging.getLogger(name).level, logging.getLogger(name).handlers[:]) for name in names}
    yield
    for name, (level, handlers) in before.items():
        logging.getLogger(name).setLevel(level)
        logging.getLogger(name).handlers[:] = handlers


@pytest.mark.parametrize(("level", "lines"), [(LogLevel.DEBUG, 3), (LogLevel.INFO, 2), (LogLevel.ERROR, 0)])
def test_the_level_is_that_of_our_own_lines(
    loggers: None, capsys: pytest.CaptureFixture[str], level: LogLevel, lines: int
) -> None:
    """DEBUG shows nothing of libraries, whose lines may hold headers."""
    logging.getLogger().handlers.clear()  # those of the test runner
    configure(LogSettings(level=level))
    logging.getLogger("registry.x").debug("ours")
    logging.getLogger("registry.x").info("ours")
    logging.getLogger("aiohttp.client").debug("Authorization: Bearer secret")
    logging.getLogger("aiohttp.client").info("theirs")
    err = capsys.readouterr().err
    assert len(err.splitlines()) == lines
    assert "secret" not in err
