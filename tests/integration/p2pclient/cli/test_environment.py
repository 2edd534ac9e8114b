"""Options are read from P2P_<COMMAND>_<FLAG>, a few from short names too, and former names with one warning."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def p2p(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("P2P_", "CONSUL_"))}
    command = [sys.executable, "-m", "p2pclient", *arguments]
    return subprocess.run(command, env=clean | environ, capture_output=True, text=True, timeout=60)


def test_each_command_has_variables_of_its_own() -> None:
    """A number of workers for `p2p up` is no list of workers for `p2p proxy`, and each reads its own."""
    done = p2p("proxy", P2P_PROXY_WORKERS="a b c", P2P_UP_WORKERS="3")
    assert "a b c" in done.stderr
    assert "Invalid value for '--workers' (env var: 'P2P_UP_WORKERS')" in p2p("up", P2P_UP_WORKERS="some").stderr


def test_ambiguous_former_names_are_not_read_and_the_new_one_is_told() -> None:
    """P2P_PORT and P2P_WORKERS meant different things to different commands."""
    done = p2p("up", "--port", "0", P2P_WORKERS="some")
    assert "Invalid value for '--port'" in done.stderr
    done = p2p("agent", "--host", "10.1.2.3", P2P_PORT="some")
    assert "p2p agent: warning: P2P_PORT is not read any more, but P2P_AGENT_PORT is." in done.stderr


def test_unambiguous_former_names_still_work_with_one_warning() -> None:
    """A variable of an earlier release has its effect, and one line names all new names."""
    done = p2p("agent", P2P_HOST="10.1.2.3", P2P_PORT="1")
    assert done.returncode != 0
    assert "10.1.2.3" in done.stderr.replace("P2P_HOST", "")
    warnings = [line for line in done.stderr.splitlines() if "warning" in line]
    assert warnings == [
        "p2p agent: warning: P2P_HOST is now called P2P_AGENT_HOST; "
        "P2P_PORT is not read any more, but P2P_AGENT_PORT is."
    ]


def test_the_new_name_is_used_in_place_of_the_former_one() -> None:
    """Where both are set the new one counts, without a warning; a flag counts more than both."""
    both = {"P2P_AGENT_HOST": "10.1.2.3", "P2P_HOST": "10.4.5.6"}
    assert "10.1.2.3" in p2p("agent", **both).stderr
    assert "warning" not in p2p("agent", **both).stderr
    flag = p2p("agent", "--host", "10.7.8.9", **both)
    assert "10.7.8.9" in flag.stderr


LINK = "tcp://10.0.0.1:80"


def service_links(service: str) -> dict[str, str]:
    """What Kubernetes sets in every Pod for a Service of this name, which has port 80."""
    name = service.upper().replace("-", "_")
    port = {"": LINK, "_80_TCP": LINK, "_80_TCP_PROTO": "tcp", "_80_TCP_PORT": "80", "_80_TCP_ADDR": "10.0.0.1"}
    service_names = {f"{name}_SERVICE_HOST": "10.0.0.1", f"{name}_SERVICE_PORT": "80"}
    return service_names | {f"{name}_PORT{end}": value for end, value in port.items()}


# Each command ends because of an address that nobody here has, after it has read its options.
ELSEWHERE = ("--host", "192.0.2.1")
COMMANDS = {
    "worker": (*ELSEWHERE, "--engine", "echo"),
    "registry": (*ELSEWHERE, "--state", ""),
    "proxy": (*ELSEWHERE, "--workers", "1"),
    "agent": ELSEWHERE,
    "exec": (*ELSEWHERE, "--service", "s", "--", "true"),
    "up": ("--consul", "http://192.0.2.1:x"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_port_that_kubernetes_sets_for_a_service_is_not_read(command: str) -> None:
    """Beside a Service called p2p-COMMAND the default port counts, and one line names the switch of the Pod."""
    done = p2p(command, *COMMANDS[command], **service_links(f"p2p-{command}"))
    variable = f"P2P_{command.upper()}_PORT"
    assert [line for line in done.stderr.splitlines() if "warning" in line] == [
        f"p2p {command}: warning: {variable}={LINK} is not read: Kubernetes sets it for a Service of that name; "
        "enableServiceLinks: false in the Pod's spec stops that."
    ]
    assert "Invalid value for '--port'" not in done.stderr
    assert "Traceback" not in done.stderr


def test_links_of_kubernetes_are_no_matter_where_the_flag_is_given() -> None:
    """With --port no line is printed, and a Service called p2p sets no former name of a port."""
    done = p2p("agent", *ELSEWHERE, "--port", "1", **service_links("p2p-agent"))
    assert "enableServiceLinks" not in done.stderr
    assert "warning" not in p2p("agent", *ELSEWHERE, **service_links("p2p")).stderr


def test_the_ports_of_dns_may_be_links_of_kubernetes_too() -> None:
    """A Service called p2p-registry-dns sets the variable of --dns-port; a former name that holds a port counts."""
    done = p2p("registry", *COMMANDS["registry"], **service_links("p2p-registry-dns"))
    assert f"P2P_REGISTRY_DNS_PORT={LINK} is not read" in done.stderr
    done = p2p("registry", *COMMANDS["registry"], **service_links("p2p-registry-dns"), P2P_DNS_PORT="some")
    assert "Invalid value for '--dns-port'" in done.stderr


def test_what_is_no_port_and_no_link_stays_an_error() -> None:
    """A misspelt port is refused with the variable's name, as before."""
    assert "P2P_AGENT_PORT" in p2p("agent", P2P_AGENT_PORT="http://10.0.0.1:80").stderr


@pytest.mark.parametrize(("command", "flag"), [("worker", "CONSUL"), ("up", "SERVICE"), ("classify", "REGISTRY")])
def test_options_that_mean_the_same_everywhere_have_a_short_name_too(command: str, flag: str) -> None:
    """The help names both variables, the command's own first, because it is used in place of the short one."""
    assert f"P2P_{command.upper()}_{flag}, P2P_{flag}" in " ".join(p2p(command, "--help").stdout.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("worker", "--engine", "echo", "--service", "/cats"),
        ("worker", "--engine", "echo", "--model", "my digits=/m"),
        ("exec", "--service", "my digits", "--", "true"),
        ("registry", "--service", "x//y"),
        ("proxy", "--service", ".."),
        ("up", "--service", "a.b"),
    ],
)
def test_names_of_services_are_checked_before_anything_starts(arguments: tuple[str, ...]) -> None:
    """Each command that takes the name of a service refuses one that Consul or DNS would not find, with the rule."""
    done = p2p(*arguments)
    assert done.returncode in (1, 2)
    assert "1 to 63 letters, digits and dashes" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_hosts_and_tags_are_checked_before_anything_starts() -> None:
    """A host that no client can connect to, and a tag with control characters, are refused with the rule."""
    worker = p2p("worker", "--engine", "echo", "--advertise", "foo..bar")
    assert "write an IP address, or a name" in " ".join(worker.stderr.split())
    tagged = p2p("exec", "--service", "a", "--tag", "a\nb", "--", "true")
    assert "printable UTF-8" in " ".join(tagged.stderr.split())
