"""The page in a real browser: what it shows of a fleet, and that it stays usable and safe whatever a fleet says."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from registry.consul.settings import ConsulSettings
from registry.instances.instance import Health
from registry.security.access_control import access_control
from registry.security.access_settings import AccessSettings
from registry.server import running
from registry.settings import RegistrySettings
from registry.worker_figures.collector import FiguresCollector
from tests.support.accessibility import serious_faults
from tests.support.command_process import free_port
from tests.support.consul_process import ConsulProcess
from tests.support.lookups.busy_fleet import busy_fleet
from tests.support.lookups.fleet_page import MARKUP, fleet_page, strange_worker, workers
from tests.support.photos import chelsea_jpeg
from tests.support.security.token_file import CLIENT, OPERATOR, write_tokens
from tests.support.waiting import until
from tests.support.workers.echo_worker import echo_worker

# A browser and its driver are started and told much in one step of the loop.
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.long_callbacks(reason="the browser's driver holds the loop, not what is tested"),
]

VIEWS = ("services", "workers", "events", "try")


@pytest.fixture(scope="module")
def busy_workers() -> FiguresCollector:
    """The figures of twelve workers that have been busy for a quarter of an hour; of one nothing is known."""
    twelve = workers(12)
    return busy_fleet(twelve, silent=[twelve[1].id])


@pytest.mark.parametrize("count", [0, 1, 12, 500])
async def test_every_view_shows_any_fleet(browser_page: Any, count: int, busy_workers: FiguresCollector) -> None:
    """With no worker, one, twelve and 500: no error in the console, nothing serious for axe, no scrolling sideways."""
    async with fleet_page(figures=busy_workers if count == 12 else None) as fleet:
        await fleet.put("classify", workers(count))
        for view in VIEWS:
            await browser_page.goto(f"{fleet.url}/ui/#{view}")
            await browser_page.get_by_text("live", exact=True).wait_for()
            if view == "workers" and count:
                await browser_page.wait_for_function(f"document.querySelectorAll('tbody tr').length === {count}")
            if count in (0, 12):
                assert not await serious_faults(browser_page)
            for width in (390, 1280):
                await browser_page.set_viewport_size({"width": width, "height": 900})
                assert await browser_page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await browser_page.goto(f"{fleet.url}/ui/#services")
        healthy = f"{count} of {count} worker{'' if count == 1 else 's'} healthy"
        await browser_page.get_by_text(healthy).wait_for()
        assert not browser_page.faults


async def test_figures_and_their_last_15_minutes_are_shown(browser_page: Any, busy_workers: FiguresCollector) -> None:
    """A service has its rates, times and charts, with words for those who see none; a worker's charts unfold by key."""
    async with fleet_page(figures=busy_workers) as fleet:
        await fleet.put("classify", workers(12))
        await browser_page.goto(f"{fleet.url}/ui/")
        chart = browser_page.get_by_role("figure").filter(has_text="Requests per second")
        await chart.wait_for()
        words = await chart.inner_text()
        assert re.search(r"Requests per second: now [\d.]+, in 15 minutes between [\d.]+ and [\d.]+\.", words)
        shown = await browser_page.locator(".figures").inner_text()
        assert re.search(r"Requests/s\s+[\d.]+\s+Errors\s+[\d.]+ %\s+p50\s+[\d.]+ ms\s+p99\s+[\d.]+ ms", shown)
        await browser_page.get_by_text("1 of 12 healthy workers do not tell their figures").wait_for()
        await browser_page.goto(f"{fleet.url}/ui/#workers")
        await browser_page.get_by_role("button", name="198.18.0.1:20000").focus()
        await browser_page.keyboard.press("Enter")
        await browser_page.get_by_role("figure").filter(has_text="Images that wait").wait_for()
        focused = "document.activeElement.getAttribute('aria-expanded') + document.activeElement.textContent"
        assert await browser_page.evaluate(focused) == "true198.18.0.1:20000"
        assert await browser_page.get_by_role("figure").count() == 3
        silent = browser_page.locator("tbody").filter(has_text="198.18.0.2:20001")
        assert "tells no figures" in await silent.inner_text()
        assert not await serious_faults(browser_page)
        assert not browser_page.faults


async def test_what_a_worker_says_is_never_markup(browser_page: Any) -> None:
    """Markup, right-to-left text and long names in what a worker says are shown as they are, and nothing runs."""
    async with fleet_page() as fleet:
        await fleet.put("classify", [*workers(3), strange_worker("classify")])
        for view in VIEWS:
            await browser_page.goto(f"{fleet.url}/ui/#{view}")
            await browser_page.get_by_text("live", exact=True).wait_for()
        await browser_page.goto(f"{fleet.url}/ui/#workers")
        await browser_page.get_by_text(f"critical: {MARKUP}").wait_for()
        assert await browser_page.title() == "Workers · p2p-serving"
        assert await browser_page.locator("td img, td script").count() == 0
        assert not await serious_faults(browser_page)
        assert not browser_page.faults


async def test_an_event_reaches_the_open_page(browser_page: Any) -> None:
    """A worker that becomes critical changes the card and the list of events without a reload; filters hold."""
    async with fleet_page() as fleet:
        await fleet.put("classify", workers(2))
        await browser_page.goto(f"{fleet.url}/ui/")
        await browser_page.get_by_text("2 of 2 workers healthy").wait_for()
        await fleet.put("classify", [*workers(1), *workers(2, health=Health.CRITICAL)[1:]])
        await browser_page.get_by_text("1 of 2 workers healthy").wait_for()
        await browser_page.goto(f"{fleet.url}/ui/#events")
        await browser_page.get_by_label("Kind of event").select_option("critical")
        shown = browser_page.locator(".events li")
        await until(shown.count, within_s=20)
        assert await shown.count() == 1
        await browser_page.get_by_label("Filter events").fill("nothing of the kind")
        await browser_page.get_by_text("No event matches.").wait_for()


async def test_a_lookup_service_that_comes_back_is_followed_again(browser_page: Any) -> None:
    """While it is away the page says so and keeps what it showed; it goes on by itself."""
    port = free_port()
    async with fleet_page(port=port) as fleet:
        await fleet.put("classify", workers(2))
        await browser_page.goto(f"{fleet.url}/ui/")
        await browser_page.get_by_text("2 of 2 workers healthy").wait_for()
    await browser_page.get_by_text("does not answer; trying again").wait_for()
    assert await browser_page.get_by_text("2 of 2 workers healthy").count() == 1
    async with fleet_page(port=port) as fleet:
        await fleet.put("classify", workers(3))
        await browser_page.get_by_text("3 of 3 workers healthy").wait_for()
        await browser_page.get_by_text("live", exact=True).wait_for()


async def test_only_operators_sign_in(browser_page: Any, tmp_path: Path) -> None:
    """Where tokens are on the page asks for one: a client's is refused in a sentence, an operator's opens it."""
    async with (
        access_control(AccessSettings(write_tokens(tmp_path)), hosts=["127.0.0.1"]) as access,
        fleet_page(access=access) as fleet,
    ):
        await fleet.put("classify", workers(2))
        await browser_page.goto(f"{fleet.url}/")
        await browser_page.get_by_label("Token").fill(CLIENT)
        await browser_page.get_by_role("button", name="Sign in").click()
        await browser_page.get_by_text("takes one with the role").wait_for()
        assert not await serious_faults(browser_page)
        await browser_page.get_by_label("Token").fill(OPERATOR)
        await browser_page.get_by_role("button", name="Sign in").click()
        await browser_page.get_by_text("2 of 2 workers healthy").wait_for()
        assert await browser_page.evaluate("document.cookie + JSON.stringify({...localStorage})") == "{}"


async def test_a_photo_goes_straight_to_the_worker(
    browser_page: Any, shared_consul: ConsulProcess, tmp_path: Path
) -> None:
    """A photo gets its labels and a time line; a broken file and one that is too large get the worker's sentence."""
    files = {"cat.jpg": chelsea_jpeg(), "broken.jpg": b"no image", "large.jpg": bytes(40 << 20)}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    settings = RegistrySettings(ConsulSettings(url=shared_consul.url), port=0, service="pets")
    async with running(settings) as registry:
        access = AccessSettings(cors_origins=(registry.url,))
        async with echo_worker(shared_consul.url, service="pets", access=access):
            await browser_page.goto(f"{registry.url}/ui/#try")
            service = browser_page.get_by_role("combobox", name="Service")
            await until(lambda: _options(service), within_s=20)
            await service.select_option("pets")
            photo = browser_page.locator("#photo")
            await photo.set_input_files(tmp_path / "cat.jpg")
            await browser_page.get_by_text("width", exact=True).wait_for()
            legend = await browser_page.locator(".legend").inner_text()
            assert all(stage in legend for stage in ("look up", "upload", "receive", "decode", "predict", "way back"))
            await photo.set_input_files(tmp_path / "broken.jpg")
            await browser_page.get_by_text("status 415").wait_for()
            await photo.set_input_files(tmp_path / "large.jpg")
            await browser_page.locator(".error").get_by_text("larger than").wait_for()
            assert not await serious_faults(browser_page)


async def _options(select: Any) -> bool:
    return "pets" in await select.inner_text()


async def test_curl_keeps_its_line() -> None:
    """Only who asks for HTML is sent to the page; its files forbid all scripts but their own, and are small."""
    async with fleet_page() as fleet, aiohttp.ClientSession() as http:
        await fleet.put("classify", workers(1))
        async with http.get(f"{fleet.url}/next") as line:
            assert await line.text() == "198.18.0.1:20000\n"
        browser = {"Accept": "text/html,application/xhtml+xml"}
        async with http.get(f"{fleet.url}/", headers=browser, allow_redirects=False) as sent:
            assert (sent.status, sent.headers["Location"]) == (302, "/ui/")
        total = 0
        packages = ("registry.ui", "registry.runtime.pages")
        names = [file.name for package in packages for file in files(package).joinpath("static").iterdir()]
        for name in ("", *names):
            async with http.get(f"{fleet.url}/ui/{name}") as file:
                assert file.status == 200
                policy = file.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                total += len(await file.read())
                tag = {"If-None-Match": file.headers["ETag"]}
            async with http.get(f"{fleet.url}/ui/{name}", headers=tag) as again:
                assert again.status == 304
        assert total < 150_000
        for name in ("nothing.js", "../routes.py", "%2e%2e/routes.py", "__init__.py"):
            async with http.get(f"{fleet.url}/ui/{name}") as nothing:
                assert nothing.status == 404


async def test_no_page_where_none_is_wanted() -> None:
    """With --no-ui a browser gets what curl gets."""
    async with fleet_page(ui=False) as fleet, aiohttp.ClientSession() as http:
        async with http.get(f"{fleet.url}/ui/") as nothing:
            assert nothing.status == 404
        async with http.get(f"{fleet.url}/", headers={"Accept": "text/html"}) as line:
            assert line.status == 503  # nobody is registered
