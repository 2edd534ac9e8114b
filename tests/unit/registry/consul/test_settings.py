"""How Consul's own variables are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.consul.settings import ConsulSettings
from registry.runtime.errors import SettingsError


@pytest.mark.parametrize(
    ("address", "url", "auth"),
    [
        ("c", "http://c:8500", None),
        ("c:1", "http://c:1", None),
        ("http://[::1]:1/", "http://[::1]:1", None),
        ("https://c", "https://c:8501", None),
        ("user:pass@c:1", "http://c:1", "user:pass"),
        ("https://user:p%2Fw@c:1", "https://c:1", "user:p/w"),
        ("unix:///a@b/consul.sock", "unix:///a@b/consul.sock", None),
    ],
)
def test_an_address_may_carry_name_and_password(address: str, url: str, auth: str | None) -> None:
    """They are taken out of the URL, which is shown in logs, and decoded."""
    settings = ConsulSettings.from_environment({"CONSUL_HTTP_ADDR": address})
    assert (settings.url, settings.auth) == (url, auth)


def test_consul_http_auth_is_read() -> None:
    """The variable gives name and password; those in the address are used in its place."""
    assert ConsulSettings.from_environment({"CONSUL_HTTP_AUTH": "a:b"}).auth == "a:b"
    both = {"CONSUL_HTTP_AUTH": "a:b", "CONSUL_HTTP_ADDR": "http://c:d@host"}
    assert ConsulSettings.from_environment(both).auth == "c:d"


def test_secrets_are_not_shown() -> None:
    """Settings that end up in a log or a traceback show neither token nor password."""
    shown = repr(ConsulSettings(token="s3cret", auth="user:pa55"))
    assert "s3cret" not in shown
    assert "pa55" not in shown


def test_a_child_process_reaches_the_same_agent() -> None:
    """What a child is told is read back as the same address, name and password."""
    settings = ConsulSettings.from_environment({"CONSUL_HTTP_ADDR": "https://user:p%40@c:1"})
    assert ConsulSettings.from_environment(settings.as_environment()) == settings


@pytest.mark.parametrize("address", ["ftp://c", "http://", "c:99999", "http://c/path", "http://[::1", "user:pw@"])
def test_an_invalid_address_is_refused(address: str) -> None:
    """The error says what an address looks like, and does not show a password."""
    with pytest.raises(SettingsError, match="write host:port") as refusal:
        ConsulSettings.from_environment({"CONSUL_HTTP_ADDR": address})
    assert "pw" not in str(refusal.value)


def test_a_token_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """One sentence that names the variable and the file, no traceback."""
    path = tmp_path / "token"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"CONSUL_HTTP_TOKEN_FILE names .*token, which cannot be read"):
        ConsulSettings.from_environment({"CONSUL_HTTP_TOKEN_FILE": str(path)})


@pytest.mark.parametrize("token", ["one\ntwo", "a\r\nX-Evil: 1", "se\x00cret", "schl\u00fcssel"])
@pytest.mark.parametrize("in_file", [False, True])
def test_a_token_that_no_header_carries_is_refused(tmp_path: Path, token: str, in_file: bool) -> None:
    """The sentence names the variable, and does not show the token."""
    file = tmp_path / "token"
    file.write_text(token, "utf-8", newline="")
    environ = {"CONSUL_HTTP_TOKEN_FILE": str(file)} if in_file else {"CONSUL_HTTP_TOKEN": token}
    with pytest.raises(SettingsError, match=next(iter(environ))) as refusal:
        ConsulSettings.from_environment(environ)
    assert token not in str(refusal.value)
