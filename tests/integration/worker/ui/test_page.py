"""A worker's pages in a real browser: what they show, that they try a photo, and that nothing said is ever markup."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from registry.security.access_control import access_control
from registry.security.access_settings import AccessSettings
from tests.support.accessibility import serious_faults
from tests.support.photos import chelsea_jpeg
from tests.support.security.token_file import CLIENT, OPERATOR, write_tokens
from tests.support.workers.fast_and_slow_worker import FastAndSlowWorker, fast_and_slow_worker

# A browser and its driver are started and told much in one step of the loop.
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.long_callbacks(reason="the browser's driver holds the loop, not what is tested"),
]

BROWSER = {"Accept": "text/html,application/xhtml+xml"}
FILES = (
    "ui/", "docs", "ui/worker.js", "ui/cards.js", "ui/metrics.js", "ui/process.js", "ui/chart.js",
    "ui/attempt.js", "ui/docs.js", "ui/operation.js", "ui/request-form.js", "ui/schema.js", "ui/worker.css",
    "ui/style.css", "ui/api.js", "ui/dom.js", "ui/format.js", "ui/photo.js", "ui/sign-in.js", "ui/icon.svg",
)  # fmt: skip
MARKUP = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
METRICS = """\
# HELP p2p_worker_requests_total Requests answered.
p2p_worker_requests_total{model="a \\"b\\" \\\\ c",protocol="article",status="200"} 90.0
p2p_worker_requests_total{model="a \\"b\\" \\\\ c",protocol="tfserving",status="503"} 10.0
p2p_worker_requests_total{model="",protocol="",status="200"} 7.0
p2p_worker_request_duration_seconds_bucket{le="0.01",model="a \\"b\\" \\\\ c",protocol="article"} 50.0
p2p_worker_request_duration_seconds_bucket{le="0.02",model="a \\"b\\" \\\\ c",protocol="article"} 100.0
p2p_worker_request_duration_seconds_bucket{le="+Inf",model="a \\"b\\" \\\\ c",protocol="article"} 100.0
p2p_worker_batch_size_bucket{le="1.0",model="a \\"b\\" \\\\ c"} 10.0
p2p_worker_batch_size_bucket{le="2.0",model="a \\"b\\" \\\\ c"} 40.0
p2p_worker_batch_size_bucket{le="+Inf",model="a \\"b\\" \\\\ c"} 40.0
p2p_worker_batch_size_sum{model="a \\"b\\" \\\\ c"} 70.0
process_start_time_seconds 1.5e+09
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker() -> AsyncIterator[FastAndSlowWorker]:
    async with fast_and_slow_worker() as running:
        yield running


@pytest.fixture
def url(worker: FastAndSlowWorker) -> str:
    return f"http://127.0.0.1:{worker.fast_port}"


async def fits(page: Any) -> None:
    """Nothing scrolls sideways, on a phone or a large screen, and axe finds nothing serious."""
    await fits_sideways(page)
    assert not await serious_faults(page)


async def fits_sideways(page: Any) -> None:
    for width in (390, 1280):
        await page.set_viewport_size({"width": width, "height": 900})
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_curl_keeps_its_answers(worker: FastAndSlowWorker, url: str) -> None:
    """Only who asks for HTML is sent to the page; an image takes the fast path whatever its sender accepts."""
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{url}/") as usage:
            assert (usage.status, usage.headers["Allow"]) == (405, "POST")
        async with http.get(f"{url}/", headers=BROWSER, allow_redirects=False) as sent:
            assert (sent.status, sent.headers["Location"]) == (302, "/ui/")
        taken = worker.taken
        async with http.post(f"{url}/", data=chelsea_jpeg(), headers=BROWSER) as labels:
            assert labels.status == 200
            assert (await labels.json())[0][0]
        assert worker.taken == taken + 1


async def test_the_files_are_closed(url: str) -> None:
    """All forbid scripts of others; nothing else is in their folder."""
    async with aiohttp.ClientSession() as http:
        for name in FILES:
            async with http.get(f"{url}/{name}") as file:
                assert file.status == 200, name
                assert "default-src 'none'" in file.headers["Content-Security-Policy"]
        for name in ("ui/nothing.js", "ui/index.html", "ui/docs.html", "ui/../routes.py", "ui/%2e%2e/routes.py", "ui"):
            async with http.get(f"{url}/{name}") as nothing:
                assert nothing.status == 404, name


async def test_the_pages_are_small(browser_page: Any, url: str) -> None:
    """Each page loads less than 60 kB, what it asks for data aside, and nothing from elsewhere."""
    for path in ("ui/", "docs"):
        await browser_page.goto(f"{url}/{path}")
        await browser_page.get_by_role("heading", level=2).first.wait_for()
        loaded = await browser_page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")
        assert all(name.startswith(f"{url}/") for name in loaded)
        files = {name for name in loaded if not name.endswith(("/readyz", "/metrics", "/openapi.json"))}
        async with aiohttp.ClientSession() as http:
            sizes = [len(await (await http.get(name)).read()) for name in (*files, f"{url}/{path}")]
        assert len(sizes) > 8
        assert sum(sizes) < 60_000


async def test_no_page_where_none_is_wanted() -> None:
    """With --no-ui a browser gets what curl gets."""
    async with fast_and_slow_worker(ui=False) as plain, aiohttp.ClientSession() as http:
        for name, status in (("ui/", 404), ("docs", 404), ("", 405)):
            async with http.get(f"http://127.0.0.1:{plain.fast_port}/{name}", headers=BROWSER) as answer:
                assert answer.status == status


async def test_the_page_shows_the_worker_and_tries_a_photo(browser_page: Any, url: str, tmp_path: Path) -> None:
    """State, figures and versions are shown; a photo gets labels and a time line, a broken one the sentence."""
    (tmp_path / "cat.jpg").write_bytes(chelsea_jpeg())
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    await browser_page.goto(f"{url}/")
    await browser_page.get_by_role("heading", name="classify").first.wait_for()
    await browser_page.get_by_text("ready", exact=True).wait_for()
    row = browser_page.locator("tbody tr").first
    assert (await row.inner_text()).split() == ["1", "stable", "serving", "echo", "cpu", "f32", "2", "any", "size"]
    photo = browser_page.locator("#photo")
    await photo.set_input_files(tmp_path / "cat.jpg")
    await browser_page.get_by_text("width", exact=True).wait_for()
    legend = await browser_page.locator(".legend").inner_text()
    assert all(stage in legend for stage in ("upload", "receive", "decode", "predict", "way back"))
    assert f"curl -F 'data=@cat.jpg' '{url}/?top=5'" in await browser_page.get_by_label("curl").inner_text()
    await browser_page.get_by_text("Images in a batch", exact=True).wait_for()
    await fits(browser_page)
    assert not browser_page.faults
    await photo.set_input_files(tmp_path / "broken.jpg")
    await browser_page.get_by_text("status 415").wait_for()


async def test_a_worker_that_is_not_ready_says_why(browser_page: Any, worker: FastAndSlowWorker, url: str) -> None:
    """Draining, its reason, and silence are told; the page goes on by itself when the worker answers again."""
    await browser_page.goto(f"{url}/ui/")
    await browser_page.get_by_text("ready", exact=True).wait_for()
    worker.state.leaving = True
    try:
        await browser_page.get_by_text("draining", exact=True).wait_for()
        await browser_page.get_by_text("It is leaving: it finishes what it has begun and ends.").wait_for()
    finally:
        worker.state.leaving = False
    await browser_page.route("**/readyz", lambda route: route.abort())
    await browser_page.get_by_text("does not answer; trying again").wait_for()
    await browser_page.unroute("**/readyz")
    await browser_page.get_by_text("live", exact=True).wait_for()


async def test_what_a_worker_says_is_never_markup(browser_page: Any, url: str) -> None:
    """Names, versions, labels and reasons with markup in them are shown as they are, and nothing runs."""
    version = {"version": MARKUP, "state": "END", "error": f"It failed: {MARKUP}", "engine": MARKUP, "device": MARKUP}
    model = {"policy": "latest", "default": MARKUP, "labels": {MARKUP: MARKUP}, "versions": [version]}
    ready = {"ready": False, "waiting_for": [f"Loading {MARKUP}"], "boot": MARKUP, "model": MARKUP,
             "models": {MARKUP: model, "شبكة-عصبية" * 9: model}}  # fmt: skip
    await browser_page.route("**/readyz", lambda route: route.fulfill(json=ready))
    await browser_page.route("**/?top=5&timings=1", lambda route: route.fulfill(json=[[MARKUP, 0.75], ["b", 0.25]]))
    await browser_page.route("**/metrics", lambda route: route.fulfill(status=403, json={"error": f"Not {MARKUP}"}))
    await browser_page.goto(f"{url}/ui/")
    for said in (f"Loading {MARKUP}", f"Not {MARKUP}", f"It failed: {MARKUP}"):
        await browser_page.get_by_text(said).first.wait_for()
    await browser_page.locator("#photo").set_input_files(
        {"name": "<b>.jpg", "mimeType": "image/jpeg", "buffer": chelsea_jpeg()}
    )
    await browser_page.locator(".labels").get_by_text(MARKUP).wait_for()
    assert await browser_page.title() == f"{MARKUP} · p2p-serving worker"
    assert await browser_page.locator("td img, td script, li img, h3 b, .head img").count() == 0
    await fits(browser_page)


async def test_only_operators_sign_in(browser_page: Any, tmp_path: Path) -> None:
    """Where tokens are on the page needs what /metrics needs, the description what a client needs; none is kept."""
    settings = AccessSettings(write_tokens(tmp_path))
    async with (
        access_control(settings, hosts=["127.0.0.1"]) as control,
        fast_and_slow_worker(control=control) as closed,
    ):
        url = f"http://127.0.0.1:{closed.fast_port}"
        await browser_page.goto(f"{url}/")
        await _sign_in(browser_page, CLIENT)
        await browser_page.get_by_text("takes one with the role").wait_for()
        await fits(browser_page)
        await _sign_in(browser_page, OPERATOR)
        await browser_page.get_by_role("region", name="Versions").wait_for()
        assert await browser_page.evaluate("document.cookie + JSON.stringify({...localStorage})") == "{}"
        assert OPERATOR not in await browser_page.content()
        await browser_page.goto(f"{url}/docs")
        await _sign_in(browser_page, CLIENT)
        await browser_page.get_by_text("/v2/models/{name}/infer", exact=True).wait_for()


async def _sign_in(page: Any, token: str) -> None:
    await page.get_by_label("Token").fill(token)
    await page.get_by_role("button", name="Sign in").click()


async def test_the_interface_is_shown_and_can_be_tried(browser_page: Any, url: str, tmp_path: Path) -> None:
    """Every operation opens; one is found by words and by address; a file and a GET are sent, and answers shown."""
    (tmp_path / "cat.jpg").write_bytes(chelsea_jpeg())
    await browser_page.goto(f"{url}/docs#GET-%2Fopenapi.json")
    opened = browser_page.locator("details[open]")
    await opened.wait_for()
    assert "This description." in await opened.inner_text()
    await opened.get_by_role("button", name="Send").click()
    await opened.get_by_label("Answer").get_by_text('"openapi": "3.1.0"').wait_for()
    await browser_page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    infer = browser_page.locator('[id="POST-/v2/models/{name}/infer"]')
    assert "datatype: string" in await infer.get_by_label("Schema of application/json").first.inner_text()
    await infer.get_by_role("button", name="Send").click()
    await infer.get_by_label("Answer").get_by_text('"model_name": "classify"').wait_for()
    post = browser_page.locator('[id="POST-/"]')
    await post.get_by_label("Body: a file").set_input_files(tmp_path / "cat.jpg")
    await post.get_by_role("button", name="Send").click()
    await post.get_by_label("Answer").get_by_text('["width"').wait_for()
    await fits_sideways(browser_page)
    await browser_page.get_by_label("Filter operations").fill("regress refused")
    assert await browser_page.locator("details:visible").count() == 3
    assert not await serious_faults(browser_page)
    assert not browser_page.faults


async def test_figures_are_those_between_two_readings(browser_page: Any, url: str) -> None:
    """Rates, errors, quantiles and batches are differences; a model's name may hold quotes; no model, no figures."""
    await browser_page.goto(f"{url}/docs")
    found = await browser_page.evaluate(
        """async (text) => {
            const { reading, figures, rates } = await import("/ui/metrics.js");
            const name = 'a "b" \\\\ c';
            const before = reading("", 10);
            const after = reading(text, 20);
            return {
              names: [...after.models.keys()],
              began: after.began,
              figures: figures(before, after, name),
              idle: figures(after, { ...after, at: 30 }, name),
              none: figures(before, after, "nobody"),
              rates: rates([before, after, { ...after, at: 30 }], name),
            };
        }""",
        METRICS,
    )
    assert found["names"] == ['a "b" \\ c']
    assert found["began"] == 1.5e9
    busy = found["figures"]
    assert (busy["rate"], busy["errors"], busy["p50"], busy["batch"]) == (10, 10, 10, 1.75)
    assert busy["p99"] == pytest.approx(19.8)
    assert [(each["from"], each["to"], each["percent"]) for each in busy["sizes"][:2]] == [(0, 1, 25), (1, 2, 75)]
    assert (found["idle"]["rate"], found["idle"]["p99"], found["idle"]["batch"]) == (0, None, None)
    assert found["none"] is None
    assert found["rates"] == [10, 0]
    assert json.dumps(found)
