"""Calls a worker with KServe's InferenceRESTClient, in protocols 2 and 1. Arguments: URL MODEL PHOTO."""

import asyncio
import base64
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

url, model, photo = sys.argv[1:]
with open(photo, "rb") as file:
    image = file.read()


async def ask():
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=1))
    assert await client.is_server_live(url)
    assert await client.is_server_ready(url)
    assert await client.is_model_ready(url, model)
    pixels = np.zeros((1, 10, 30, 3), np.uint8)
    for values, datatype, binary in (
        (pixels, "UINT8", True),
        (pixels, "UINT8", False),
        (np.array([image], object), "BYTES", True),
    ):
        tensor = InferInput("image", list(values.shape), datatype)
        tensor.set_data_from_numpy(values, binary_data=binary)
        request = InferRequest(model_name=model, infer_inputs=[tensor])
        answer = await client.infer(url, request, model_name=model)
        assert answer.outputs[0].as_numpy().shape == (1, 2)
    client = InferenceRESTClient(RESTConfig(protocol="v1", retries=1))
    rows = {"instances": [{"b64": base64.b64encode(image).decode()}]}
    answer = await client.infer(url, rows, model_name=model)
    assert len(answer["predictions"][0]) == 2


asyncio.run(ask())
print("v2: health, binary, JSON, BYTES; v1: predict")
