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
