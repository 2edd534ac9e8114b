"""One browser for all tests of the page: Debian's chromium, driven by Playwright; without it they are skipped."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what needs a browser where there is none."""
    missing = pytest.mark.skip(reason="no chromium on the PATH: apt-get install chromium")
    for item in items:
        if CHROMIUM is None and "browser_page" in getattr(item, "fixturenames", ()):
            item.add_marker(missing)


@pytest.fixture
async def browser_page() -> AsyncIterator[object]:
    """A new page of 1280 x 900 pixels, whose `faults` are the errors that its console and its scripts have told."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await browser.new_context(viewport={"width": 1280, "height": 900})
        page = await context.new_page()
        page.set_default_timeout(30_000)
        page.faults = []
        page.on("console", lambda said: page.faults.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        yield page
        await browser.close()
