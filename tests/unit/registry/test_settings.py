"""The settings of a lookup process as the flags of another one."""

from __future__ import annotations

from pathlib import Path

from registry.consul.settings import ConsulSettings
from registry.runtime.tls.server import TlsFiles
from registry.runtime.tls.trust import TrustFiles
from registry.security.access_settings import AccessSettings
from registry.settings import RegistrySettings


def test_all_settings_are_passed_on_as_flags() -> None:
    """Each process of a shared port is started with them; without a setting there is no flag."""
    settings = RegistrySettings(
        ConsulSettings(url="http://consul:8500"),
        host="0.0.0.0",
        service="cats",
        state=Path("state.json"),
        tls=TlsFiles(Path("c.pem"), Path("c.key"), Path("ca.pem")),
        followed_at_most=5,
        ticket_keys=Path("keys"),
        ticket_lifetime_s=30,
        failover_datacenters=("dc2", "dc3"),
        access=AccessSettings(Path("tokens.toml"), ("https://page.example",), ("lookup.example",)),
        checks=TrustFiles(Path("workers.pem"), Path("me.pem"), Path("me.key")),
    )
    plain = "--host 0.0.0.0 --service cats --state state.json --consul http://consul:8500 --followed-at-most 5"
    tickets = "--ticket-lifetime 30 --failover-dc dc2,dc3 --ticket-keys keys"
    tls = "--tls-cert c.pem --tls-key c.key --tls-client-ca ca.pem"
    checks = "--check-ca workers.pem --check-cert me.pem --check-key me.key"
    access = "--tokens tokens.toml --cors-origin https://page.example --allowed-host lookup.example"
    assert settings.as_arguments() == f"{plain} {tickets} {tls} {checks} {access}".split()
    fewer = RegistrySettings(ConsulSettings()).as_arguments()
    assert fewer[fewer.index("--state") + 1] == ""
    assert not {"--failover-dc", "--ticket-keys", "--tokens", "--tls-cert", "--check-ca", "--cors-origin"} & set(fewer)


def test_a_token_for_workers_is_no_argument() -> None:
    """Arguments stand in the list of processes; other processes have the token from the environment."""
    settings = RegistrySettings(ConsulSettings(), figures=False, worker_token="operator-s3cret")
    arguments = settings.as_arguments()
    assert "--no-figures" in arguments
    assert "s3cret" not in f"{arguments} {settings!r}"
    assert "--no-figures" not in RegistrySettings(ConsulSettings()).as_arguments()
