"""The address of ZooKeeper, and who we are there, as flags and variables say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from registry.runtime.errors import SettingsError
from registry.zookeeper.settings import Credentials, Grant, ZooKeeperSettings


def read(url: str, environ: Mapping[str, str] | None = None) -> ZooKeeperSettings:
    return ZooKeeperSettings.from_environment(environ or {}, url=url)


@pytest.mark.parametrize(
    ("url", "hosts", "root", "canonical"),
    [
        ("zookeeper://zk", ("zk:2181",), "/p2p-serving", "zookeeper://zk:2181"),
        ("zookeeper://a:1,b:2,c/", ("a:1", "b:2", "c:2181"), "/p2p-serving", "zookeeper://a:1,b:2,c:2181"),
        ("zookeeper://[::1]:5/prod/eu", ("[::1]:5",), "/prod/eu", "zookeeper://[::1]:5/prod/eu"),
    ],
)
def test_addresses(url: str, hosts: tuple[str, ...], root: str, canonical: str) -> None:
    """Several servers, a port unless it is 2181, and a node below which everything stands."""
    settings = read(url)
    assert (settings.hosts, settings.root, settings.url) == (hosts, root, canonical)
    assert read(settings.url) == settings
    assert settings.as_arguments() == ["--discovery", canonical]
    assert settings.as_environment() == {"P2P_DISCOVERY": canonical}


@pytest.mark.parametrize(
    "url",
    [
        *("etcd://a", "zookeeper://", "zookeeper://a,", "zookeeper://a:x", "zookeeper://a:0", "zookeeper://a:70000"),
        *("zookeeper://a/../b", "zookeeper://a//b", "zookeeper://a/b c", "zookeeper://a/\x00", "zookeeper://[::1/x"),
    ],
)
def test_addresses_that_cannot_be_used(url: str) -> None:
    """The sentence says what can be written."""
    with pytest.raises(SettingsError, match="zookeeper://host:port"):
        read(url)


def test_a_password_does_not_belong_in_an_address() -> None:
    """Whoever may list processes would read it; the sentence does not repeat it."""
    with pytest.raises(SettingsError, match="P2P_ZOOKEEPER_AUTH") as caught:
        read("zookeeper://worker:hidden@zk:2181")
    assert "hidden" not in str(caught.value)


def test_the_user_is_in_the_environment_or_in_a_file(tmp_path: Path) -> None:
    """The variable counts before the file; the password may contain colons, and is not shown."""
    file = tmp_path / "auth"
    file.write_text("digest:lookup:pass:word\n")
    from_file = read("zookeeper://zk", {"P2P_ZOOKEEPER_AUTH_FILE": str(file)})
    assert from_file.credentials == Credentials("digest", "lookup", "pass:word")
    assert "pass:word" not in repr(from_file)
    both = read("zookeeper://zk", {"P2P_ZOOKEEPER_AUTH_FILE": str(file), "P2P_ZOOKEEPER_AUTH": "sasl:worker:x"})
    assert both.credentials == Credentials("sasl", "worker", "x")
    assert read("zookeeper://zk").credentials is None


@pytest.mark.parametrize("text", ["hidden", "sasl:hidden", "sasl:worker:", "kerberos:hidden:x", "sasl::hidden"])
def test_users_that_cannot_be_used(text: str) -> None:
    """The sentence says the form, and nothing of what was given."""
    with pytest.raises(SettingsError, match="sasl:USER:PASSWORD") as caught:
        read("zookeeper://zk", {"P2P_ZOOKEEPER_AUTH": text})
    assert "hidden" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """The sentence names the variable and the file."""
    for name, content in (("none", None), ("binary", b"\xff\xfe")):
        file = tmp_path / name
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(SettingsError, match=f"P2P_ZOOKEEPER_AUTH_FILE names .*{name}"):
            read("zookeeper://zk", {"P2P_ZOOKEEPER_AUTH_FILE": str(file)})


def test_grants_are_written_as_zookeeper_writes_them() -> None:
    """An id of the scheme digest holds a colon itself."""
    environ = {"P2P_ZOOKEEPER_AUTH": "sasl:worker:x", "P2P_ZOOKEEPER_ACL": "sasl:lookup:r, digest:ops:aGFzaA=:cdrwa"}
    settings = read("zookeeper://zk", environ)
    assert settings.grants == (Grant("sasl", "lookup", 1), Grant("digest", "ops:aGFzaA=", 31))


@pytest.mark.parametrize("text", ["lookup", "sasl:lookup", "sasl:lookup:x", "sasl:lookup:"])
def test_grants_that_cannot_be_used(text: str) -> None:
    """The sentence shows an example."""
    with pytest.raises(SettingsError, match="sasl:lookup:r,sasl:operator:rw"):
        read("zookeeper://zk", {"P2P_ZOOKEEPER_AUTH": "sasl:worker:x", "P2P_ZOOKEEPER_ACL": text})


def test_grants_without_an_owner() -> None:
    """Without a user everybody may change a node, so that grants would promise what is not kept."""
    with pytest.raises(SettingsError, match="give a user in P2P_ZOOKEEPER_AUTH"):
        read("zookeeper://zk", {"P2P_ZOOKEEPER_ACL": "sasl:lookup:r"})
