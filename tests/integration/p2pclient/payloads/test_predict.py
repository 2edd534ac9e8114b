"""Tensors to a worker and back, over HTTP."""

from __future__ import annotations

import json

import numpy as np
import pytest
from aiohttp import web

from p2pclient import AsyncClient, BadInput, Client
from p2pclient.payloads.open_inference import HEADER


async def doubled(request, body):
    """A model that doubles `x`: it reads the binary form as the protocol's text says, with NumPy alone."""
    assert request.path == "/v2/models/classify/infer"
    size = int(request.headers[HEADER])
    (tensor,) = json.loads(body[:size])["inputs"]
    assert (tensor["name"], tensor["datatype"]) == ("x", "FP32")
    sent = np.frombuffer(body[size:], "<f4").reshape(tensor["shape"])
    data = (sent * 2).tobytes()
    output = {"name": "y", "datatype": "FP32", "shape": tensor["shape"], "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"model_name": "classify", "model_version": "7", "outputs": [output]}).encode()
    return web.Response(body=head + data, headers={HEADER: str(len(head))})


async def test_arrays_go_out_and_come_back(fleet):
    """An array reaches the worker and its answer is an array, with the model's own name and version."""
    (worker,) = fleet.add()
    worker.behave = doubled
    sent = np.arange(6, dtype=np.float32).reshape(2, 3)
    async with AsyncClient(fleet.url) as client:
        answer = await client.predict({"x": sent})
    np.testing.assert_array_equal(answer.outputs["y"], sent * 2)
    assert (answer.model, answer.version, answer.worker, answer.attempts) == ("classify", "7", worker.address, 1)


def test_the_blocking_client_predicts_too(fleet):
    """The same without a loop; a megabyte of input, more than is sent in one write, arrives whole."""
    fleet.add()[0].behave = doubled
    sent = np.ones((512, 1024), np.float32)
    with Client(fleet.url) as client:
        assert client.predict({"x": sent}).outputs["y"].sum() == 2 * sent.size


async def test_a_failing_worker_is_passed_over(fleet):
    """Tensors are tried on another worker as images are, except where they are themselves at fault."""
    breaking, working = fleet.add(2)
    breaking.behave = fleet.answers(500, "the model broke")
    working.behave = doubled
    x = np.zeros(1, np.float32)
    async with AsyncClient(fleet.url, routing="lookup") as client:
        assert (await client.predict({"x": x})).attempts == 2
        for worker in (breaking, working):
            worker.behave = fleet.answers(400, "the model has no input x: give pixels")
        with pytest.raises(BadInput, match="give pixels") as caught:
            await client.predict({"x": x})
    assert caught.value.attempts == 1
