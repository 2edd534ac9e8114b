"""Which registrations an operator means by an id or an address."""

from __future__ import annotations

import pytest

from registry.backend.registrations import Registered, named

CATS = Registered("cats-127.0.0.1-9001", "cats", "127.0.0.1", 9001)
DOGS = Registered("dogs-127.0.0.1-9001", "dogs", "127.0.0.1", 9001)
FAR = Registered("cats-10.0.0.5-9001", "cats", "10.0.0.5", 9001)
SIX = Registered("cats-fd00::1-9001", "cats", "fd00::1", 9001)
ODD = Registered("10.0.0.5:9001", "cats", "10.0.0.6", 9002)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("cats-127.0.0.1-9001", [CATS]),
        ("127.0.0.1:9001", [CATS, DOGS]),
        ("localhost:9001", [CATS, DOGS]),
        ("10.0.0.5:9001", [FAR]),
        ("[fd00::1]:9001", [SIX]),
        ("10.0.0.5", []),
        ("cats", []),
        ("", []),
    ],
)
def test_an_id_or_an_address_names_registrations(text: str, meant: list[Registered]) -> None:
    """An id names one registration, an address all those at it; a part of either names none."""
    assert named([CATS, DOGS, FAR, SIX], text) == meant


def test_an_id_is_preferred_to_an_address() -> None:
    """Ids may look like addresses: what is registered under the very text is meant."""
    assert named([FAR, ODD], "10.0.0.5:9001") == [ODD]
