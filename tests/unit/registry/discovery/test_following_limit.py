"""Which followed service makes room for another one."""

from __future__ import annotations

import pytest

from registry.discovery.following_limit import IDLE_S, FollowedService, service_to_give_up

OURS = FollowedService("ours", ours=True, idle_s=0)
OURS_IDLE = FollowedService("ours idle", ours=True, idle_s=IDLE_S)
OTHER = FollowedService("other", ours=False, idle_s=1)
OTHER_IDLE = FollowedService("other idle", ours=False, idle_s=IDLE_S)


@pytest.mark.parametrize(
    ("what", "followed", "ours", "asked_for", "given_up"),
    [
        ("an idle service of others makes room for any", (OURS, OTHER, OTHER_IDLE), False, True, "other idle"),
        ("a busy one makes room for ours", (OURS, OTHER, OURS_IDLE), True, False, "other"),
        ("a busy one makes no room for another of others", (OURS, OURS_IDLE, OTHER), False, True, None),
        ("an idle one of ours makes room for ours, if that is asked for", (OURS, OURS_IDLE), True, True, "ours idle"),
        ("and only then", (OURS, OURS_IDLE), True, False, None),
        ("busy ones of ours make no room", (OURS,), True, True, None),
        ("nothing is followed", (), True, True, None),
    ],
)
def test_who_makes_room(
    what: str, followed: tuple[FollowedService, ...], ours: bool, asked_for: bool, given_up: str | None
) -> None:
    """Services of others make room first, idle ones for any, busy ones for ours."""
    assert service_to_give_up(followed, ours=ours, asked_for=asked_for) == given_up, what
