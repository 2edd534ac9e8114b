"""The token file on disk: each reason for which it cannot be used, and the warning of an open one."""

from __future__ import annotations

import logging

import pytest

from registry.runtime.errors import SettingsError
from registry.security.tokens import token_file_reader
from registry.security.tokens.token_file_reader import watched_tokens

GOOD = '[alice]\ntoken = "right"\n'


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_text(GOOD)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("content", [b"secret text", b"", b"\xff\xfe", b"#" * 1001])
async def test_a_file_that_becomes_invalid_leaves_the_last_good_content(path, content, caplog, monkeypatch):
    """The error is logged once, without the content, and the next good content is taken up."""
    monkeypatch.setattr(token_file_reader, "BYTES_AT_MOST", 1000)
    file = watched_tokens(path)
    path.write_bytes(content)
    await file.look()
    await file.look()
    (record,) = caplog.records
    assert (file.value.names, record.levelno) == ({"alice"}, logging.ERROR)
    assert record.getMessage().startswith(f"The token file {path} ")
    assert record.getMessage().endswith("The last good content stays in use.")
    assert "secret" not in caplog.text
    path.write_text(GOOD.replace("alice", "bob"))
    await file.look()
    assert file.value.names == {"bob"}


async def test_a_file_that_goes_and_comes_back(path, caplog):
    """While it is away the last good content holds, and one line says so."""
    file = watched_tokens(path)
    path.unlink()
    await file.look()
    await file.look()
    assert (file.value.names, len(caplog.records)) == ({"alice"}, 1)
    assert "cannot be read: No such file or directory." in caplog.text
    path.write_text(GOOD.replace("alice", "bob"))
    await file.look()
    assert file.value.names == {"bob"}


def test_a_file_that_cannot_be_used_at_the_start_is_an_error(path):
    """One sentence names the file and the reason."""
    path.write_text("x")
    with pytest.raises(SettingsError, match=r"^The token file .*/file cannot be used: It is not TOML"):
        watched_tokens(path)
    with pytest.raises(SettingsError, match=r"cannot be read: No such file or directory\.$"):
        watched_tokens(path.with_name("none"))


@pytest.mark.parametrize(("mode", "warnings"), [(0o600, 0), (0o640, 0), (0o644, 1), (0o602, 1)])
async def test_one_warning_where_every_user_may_open_it(path, mode, warnings, caplog):
    """A group may be meant to read it; everybody is not, and one line for the life of the process says so."""
    path.chmod(mode)
    file = watched_tokens(path)
    path.write_text(GOOD.replace("alice", "bob"))
    await file.look()
    assert [r.levelno for r in caplog.records if r.levelno >= logging.WARNING] == [logging.WARNING] * warnings
    assert file.value.names == {"bob"}
