"""A browser for the tests of web pages: Debian's chromium, driven by Playwright; without it they are skipped."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what needs a browser where there is none."""
    missing = pytest.mark.skip(reason="no chromium on the PATH: apt-get install chromium")
    for item in items:
        if CHROMIUM is None and "browser_page" in getattr(item, "fixturenames", ()):
            item.add_marker(missing)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Any]:
    """One browser for the tests of a module, which all run in the module's event loop."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def browser_page(browser: Any) -> AsyncIterator[Any]:
    """A new page of 1280 x 900 pixels, whose `faults` are the errors that its console and its scripts have told."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    page = await context.new_page()
    page.set_default_timeout(30_000)
    page.faults = []
    page.on("console", lambda said: page.faults.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    yield page
    await context.close()
