"""A cascade as a worker of its own, beside the workers that its steps ask, with real Consul."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from registry.agent.server import serve_agent
from registry.consul.settings import ConsulSettings
from registry.runtime.tracing import exporting
from registry.security.access_settings import AccessSettings
from registry.server import running as running_registry
from registry.settings import RegistrySettings
from tests.support.consul_process import ConsulProcess
from tests.support.security.token_file import CLIENT, write_tokens
from tests.support.security.token_file import TABLES as CALLERS
from tests.support.tracing.otlp_collector import otlp_collector
from tests.support.workers.cascade_worker import cascade_worker
from tests.support.workers.echo_worker import EchoWorker, Said, echo_worker
from worker.artifacts.source import ModelSource
from worker.cascade.crop import encoded
from worker.errors import ModelError
from worker.server.serve import running
from worker.settings import CascadeSource, WorkerSettings


def png(width: int, height: int) -> bytes:
    """A picture in one colour."""
    return encoded(np.full((height, width, 3), 200, np.uint8))


WIDE, SQUARE = png(30, 10), png(10, 10)


@pytest.fixture
async def steps(shared_consul: ConsulProcess) -> AsyncIterator[dict[str, EchoWorker]]:
    """Two services whose labels are width and height, with each one's share of their sum."""
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(echo_worker(shared_consul.url, service=name))
            for name in ("quick", "exact")
        }


TWO = """
[steps.quick]
service = "quick"

[steps.exact]
service = "exact"
when = { step = "quick", below = 0.7 }
labels = { width = "as wide", height = "as high" }
"""


def timed(said: Said) -> dict[str, str]:
    """What the header Server-Timing says of each step."""
    entries = (entry.partition(";") for entry in said.headers["Server-Timing"].split(", "))
    return {name: rest for name, _, rest in entries}


async def test_the_second_step_runs_only_if_the_first_is_unsure(
    shared_consul: ConsulProcess, steps: dict[str, EchoWorker], tmp_path: Path
) -> None:
    """A sure first step answers alone; an unsure one leaves it to the second; the header says which steps ran."""
    async with cascade_worker(shared_consul, tmp_path, TWO) as pets:
        sure, unsure = await pets.post("/?top=1", WIDE), await pets.post("/?top=2", SQUARE)
        assert (sure.json, timed(sure)["exact"]) == ([["width", 0.75]], 'desc="skipped"')
        assert unsure.json == [["as wide", 0.5], ["as high", 0.5]]
        assert timed(unsure)["exact"].startswith("dur=")
        assert "Server-Timing" not in (await pets.get("/healthz")).headers
        metrics = (await pets.get("/metrics")).body.decode()
    assert 'p2p_worker_cascade_steps_total{model="pets",status="skipped",step="exact"} 1.0' in metrics
    assert 'p2p_worker_cascade_steps_total{model="pets",status="ran",step="quick"} 2.0' in metrics


async def test_every_protocol_answers_for_a_cascade(
    shared_consul: ConsulProcess, steps: dict[str, EchoWorker], tmp_path: Path
) -> None:
    """Several images, the Open Inference Protocol with files and with pixels, TensorFlow Serving, /readyz."""
    async with cascade_worker(shared_consul, tmp_path, TWO) as pets:
        form = aiohttp.FormData()
        for image in (WIDE, SQUARE):
            form.add_field("data", image, filename="a.png")
        async with pets.http.post(f"{pets.url}/?top=1", data=form) as answer:
            assert await answer.json() == [[["width", 0.75]], [["as wide", 0.5]]]
        about = (await pets.get("/v2/models/pets")).json
        assert (about["platform"], about["outputs"][0]["shape"]) == ("cascade", [-1, 4])
        pixels = {"name": "image", "shape": [1, 1, 3, 3], "datatype": "UINT8", "data": [0] * 9}
        scores = (await pets.post("/v2/models/pets/infer", {"inputs": [pixels]})).json["outputs"][0]["data"]
        assert sorted(round(score, 3) for score in scores) == [0.0, 0.0, 0.25, 0.75]
        ready = (await pets.get("/readyz")).json["models"]["pets"]["versions"]
        assert [step["service"] for step in ready[0]["steps"]] == ["quick", "exact"]
        assert (await pets.get("/v2/models/pets/versions/2")).status == 404


async def test_a_bad_image_is_told_as_one(
    shared_consul: ConsulProcess, steps: dict[str, EchoWorker], tmp_path: Path
) -> None:
    """What the first step cannot decode has its status and names the step; the cascade answers others as before."""
    async with cascade_worker(shared_consul, tmp_path, TWO) as pets:
        said = await pets.post("/", b"no image")
        assert (said.status, "quick" in said.error) == (415, True)
        assert (await pets.post("/", WIDE)).status == 200


async def test_an_optional_step_that_fails_degrades_the_answer(shared_consul: ConsulProcess, tmp_path: Path) -> None:
    """While its service is away an optional step counts as failed, and the others answer; a needed one is a 503."""
    text = TWO.replace('service = "exact"\n', 'service = "exact"\noptional = true\n')
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(echo_worker(shared_consul.url, service="quick"))
        exact = await stack.enter_async_context(AsyncExitStack())
        await exact.enter_async_context(echo_worker(shared_consul.url, service="exact"))
        optional = await stack.enter_async_context(cascade_worker(shared_consul, tmp_path, text))
        needed = await stack.enter_async_context(cascade_worker(shared_consul, tmp_path, TWO, service="strict"))
        await exact.aclose()
        asked = await asyncio.gather(
            *(worker.post("/?top=1", SQUARE, P2P_Timeout_Ms="1500") for worker in (optional, needed))
        )
    assert (asked[0].status, asked[0].json) == (200, [["width", 0.5]])
    assert 'desc="failed"' in timed(asked[0])["exact"]
    assert asked[1].status in (503, 504)
    assert "exact" in asked[1].error or "steps" in asked[1].error


async def test_models_in_this_process_and_services_answer_together(
    shared_consul: ConsulProcess, steps: dict[str, EchoWorker], tmp_path: Path
) -> None:
    """An average of a service and a model loaded here."""
    text = '[steps.far]\nservice = "quick"\n[steps.near]\nmodel = "."\n[answer]\naverage = ["far", "near"]\n'
    async with cascade_worker(shared_consul, tmp_path, text) as pets:
        said = await pets.post("/", WIDE)
        assert said.json == [["width", 0.75], ["height", 0.25]]
        assert set(timed(said)) == {"far", "near"}


async def test_tickets_are_those_of_the_cascade_itself(tmp_path: Path) -> None:
    """The steps' workers require tickets: the cascade gets them with its own token, without which it is refused."""
    access = AccessSettings(write_tokens(tmp_path, CALLERS))
    async with (
        serve_agent(host="127.0.0.1", port=0) as agent,
        running_registry(
            RegistrySettings(ConsulSettings(url=agent.url), port=0, access=access, ticket_keys=tmp_path / "keys")
        ) as lookup,
        echo_worker(agent.url, service="quick", require_ticket=True, access=access) as quick,
    ):
        assert (await quick.post("/", WIDE)).status == 401
        file = tmp_path / "pets.toml"
        await asyncio.to_thread(file.write_text, '[steps.quick]\nservice = "quick"\n')

        def settings(token: str) -> WorkerSettings:
            cascade = CascadeSource(file, lookup.url, {"token": token})
            return WorkerSettings(
                ConsulSettings(url=agent.url), ModelSource(engine="echo"), "pets", cascade=cascade, drain_s=0.0
            )

        async with running(settings(CLIENT)) as worker, aiohttp.ClientSession() as http:
            answer = await http.post(f"http://{worker.instance.address}/?top=1", data=WIDE)
            assert await answer.json() == [["width", 0.75]]
        with pytest.raises(ModelError, match=r"Step quick \(quick\)"):
            async with running(settings("unknown")):
                pass


@dataclass
class Finder:
    """A worker that finds a box, over the Open Inference Protocol, and what was asked of it."""

    score: float = 0.9
    asked: list[Any] = field(default_factory=list)

    async def infer(self, request: web.Request) -> web.Response:
        self.asked.append(await request.read())
        outputs = [
            {"name": "boxes", "datatype": "FP32", "shape": [1, 1, 4], "data": [0.0, 0.0, 0.5, 1.0]},
            {"name": "scores", "datatype": "FP32", "shape": [1, 1], "data": [self.score]},
        ]
        return web.json_response({"model_name": "finder", "model_version": "1", "outputs": outputs})


@asynccontextmanager
async def finding(consul: ConsulProcess, finder: Finder) -> AsyncIterator[None]:
    """The finder, registered."""
    app = web.Application()
    app.router.add_post("/v2/models/finder/infer", finder.infer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    body = {"ID": "finder-1", "Name": "finder", "Address": "127.0.0.1", "Port": port, "Tags": ["p2p"]}
    async with aiohttp.ClientSession(consul.url) as http:
        (await http.put("/v1/agent/service/register", json=body)).raise_for_status()
        try:
            yield
        finally:
            (await http.put("/v1/agent/service/deregister/finder-1")).raise_for_status()
            await runner.cleanup()


async def test_a_step_sees_what_is_inside_the_box(
    shared_consul: ConsulProcess, steps: dict[str, EchoWorker], tmp_path: Path
) -> None:
    """The left half of a wide image is cut out before the next step; where nothing is found, that step is left out."""
    finder = Finder()
    text = '[steps.find]\nservice = "finder"\nboxes = {}\n[steps.name]\nservice = "quick"\ncrop = "find"\n'
    async with finding(shared_consul, finder), cascade_worker(shared_consul, tmp_path, text) as pets:
        assert (await pets.post("/", png(40, 20))).json == [["width", 0.5], ["height", 0.5]]
        finder.score = 0.1
        nothing = await pets.post("/", png(40, 20))
        assert [score for _, score in nothing.json] == [0.0, 0.0]
        assert timed(nothing)["name"] == 'desc="skipped"'
        assert png(40, 20) in finder.asked[-1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[steps.a]\nservice = "nobody"', "Step a .nobody."),
        ('[steps.a]\nmodel = "missing"', "Step a: There is no model"),
        ('[steps.a]\nservice = "quick"\nboxes = {}\n[steps.b]\nservice = "quick"\ncrop = "a"', "Step a"),
        (
            '[steps.a]\nservice = "quick"\n[steps.b]\nservice = "exact"\nwhen = { step = "a", labels = ["widht"] }',
            "the label widht, which a does not give; it gives width, height",
        ),
    ],
)
async def test_what_cannot_be_asked_is_refused_at_load(
    shared_consul: ConsulProcess, steps: dict[str, EchoWorker], tmp_path: Path, text: str, says: str
) -> None:
    """Unknown services, missing models, services that answer with something else, labels that nobody gives."""
    source = ModelSource(engine="onnx")
    with pytest.raises(ModelError, match=says):
        async with cascade_worker(shared_consul, tmp_path, text, source=source):
            pass


async def test_an_overloaded_cascade_refuses(
    shared_consul: ConsulProcess, steps: dict[str, EchoWorker], tmp_path: Path
) -> None:
    """A request of more images than may be under way is refused with 503 and Retry-After, at once."""
    async with cascade_worker(shared_consul, tmp_path, TWO, queue_most=2) as pets:
        form = aiohttp.FormData()
        for _ in range(3):
            form.add_field("data", WIDE, filename="a.png")
        async with pets.http.post(pets.url, data=form) as answer:
            assert (answer.status, "Retry-After" in answer.headers) == (503, True)
        assert json.loads((await pets.post("/", WIDE)).body)


async def test_a_traced_request_has_a_span_for_each_step_that_runs(
    shared_consul: ConsulProcess, steps: dict[str, EchoWorker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below it the call of the step's service, and what the service's worker does; a skipped step has none."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    with otlp_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
        monkeypatch.setattr(exporting, "FLUSH_S", 30.0)
        async with (
            echo_worker(shared_consul.url, service="traced-step"),
            cascade_worker(
                shared_consul, tmp_path, TWO.replace('"quick"\n\n', '"traced-step"\n\n'), service="traced"
            ) as worker,
        ):
            for picture in (SQUARE, WIDE):
                said = await worker.ask("POST", "/", picture, traceparent=f"00-{trace}-b7ad6b7169203331-01")
                assert said.status == 200
    both, one = sorted(
        (span for span in collector.spans if span.parent == "b7ad6b7169203331"), key=lambda span: span.began_ns
    )
    assert [span.name for span in collector.children(both)] == ["receive", "step quick", "step exact", "encode"]
    assert [span.name for span in collector.children(one)] == ["receive", "step quick", "encode"]
    call = collector.one("call traced-step", below=collector.one("step quick", below=one))
    served = collector.one("POST /", below=collector.one("POST", below=call))
    assert {span.name for span in collector.children(served)} == {"receive", "decode", "queue", "predict", "encode"}
    assert {span.trace_id for span in (call, served)} == {trace}
