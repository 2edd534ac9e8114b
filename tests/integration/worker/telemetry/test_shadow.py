"""A worker answers copies of calls as it answers calls, compares them, and counts them apart."""

from __future__ import annotations

import json
from urllib.parse import quote

from tests.support import photos
from tests.support.consul_process import ConsulProcess
from tests.support.workers.echo_worker import echo_worker

IMAGE = photos.chelsea_jpeg()


async def test_copies_are_compared_and_counted_apart(shared_consul: ConsulProcess) -> None:
    async with echo_worker(shared_consul.url) as worker:
        plain = await worker.post("/?top=1", IMAGE)
        ((label, score),) = plain.json
        same, other = f"best={quote(label, safe='')};score={score!r};dropped=3", "best=other;score=0.5;dropped=0"
        for header in (same, other, "dropped=0"):
            assert (await worker.post("/?top=1", IMAGE, P2P_Shadow=header)).body == plain.body
        assert (await worker.post("/", b"no image", P2P_Shadow=same)).status == 415
        lines = (await worker.get("/metrics")).body.decode().splitlines()
        shown = dict(line.rsplit(" ", 1) for line in lines if "shadow" in line or "requests_total" in line)
        assert shown['p2p_worker_requests_total{model="echo",protocol="article",status="200"}'] == "1.0"
        assert shown['p2p_worker_shadow_requests_total{model="echo",status="200"}'] == "3.0"
        assert shown['p2p_worker_shadow_requests_total{model="echo",status="415"}'] == "1.0"
        assert shown['p2p_worker_shadow_compared_total{agreed="yes",model="echo"}'] == "1.0"
        assert shown['p2p_worker_shadow_compared_total{agreed="no",model="echo"}'] == "1.0"
        assert shown['p2p_worker_shadow_dropped_total{model="echo"}'] == "6.0"
        assert shown['p2p_worker_shadow_duration_seconds_count{model="echo"}'] == "4.0"
        assert json.loads(plain.body) == [[label, score]]
