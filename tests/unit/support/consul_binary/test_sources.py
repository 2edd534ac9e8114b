"""The Debian mirror that a machine's apt sources name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.consul_binary.sources import debian_mirror, read_deb822, read_list

ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/other.gpg] https://vendor.example/apt stable main
deb-src http://source.example/debian bookworm main
deb cdrom:[Debian]/ bookworm main
deb http://mirror.example/debian bookworm main contrib # the nearest
deb http://mirror.example/debian-security bookworm-security main
"""
DEB822 = """\
Types: deb
# a comment within
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: bookworm
Components: main

Types: deb deb-src
URIs: http://first.example/debian/
 http://second.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def test_one_line_sources() -> None:
    """Of a one-line file the entry for Debian itself is taken: no comment, source, disc, or security updates."""
    assert debian_mirror(read_list(ONE_LINE)) == "http://mirror.example/debian"


def test_deb822_sources() -> None:
    """Of a deb822 file the same, with several addresses in one stanza and a stanza that is switched off."""
    assert debian_mirror(read_deb822(DEB822)) == "http://first.example/debian/"


def test_a_mirror_under_another_path() -> None:
    """An archive with another path is known by Debian's keyring, unless it is for security updates."""
    line = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] https://cache.example/d/{} {} main\n"
    text = line.format("security", "bookworm-security") + line.format("pool", "bookworm")
    assert debian_mirror(read_list(text)) == "https://cache.example/d/pool"


@pytest.mark.parametrize(
    "text", ["", "deb https://vendor.example/apt stable main", "deb file:/srv/debian bookworm main"]
)
def test_no_mirror(text: str) -> None:
    """Where no Debian archive can be reached over the network there is no mirror."""
    assert debian_mirror(read_list(text)) is None


@given(st.text(alphabet="deb htp:/[]=#\n\tURIsTypes.x"))
def test_any_text(text: str) -> None:
    """Whatever the files hold, reading them ends in entries or none."""
    for source in [*read_list(text), *read_deb822(text)]:
        assert source.uri
