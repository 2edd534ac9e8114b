"""What axe finds wrong with a page for people who use a keyboard, a screen reader or large letters."""

from __future__ import annotations

from typing import Any

SERIOUS = ("serious", "critical")


async def serious_faults(page: Any) -> list[str]:
    """The rule and the element of each serious violation."""
    from axe_playwright_python.async_playwright import Axe

    results = await Axe().run(page)
    return [
        f"{violation['id']}: {node['html']}"
        for violation in results.response["violations"]
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
    ]
