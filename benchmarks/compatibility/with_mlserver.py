"""Calls a worker with MLServer's codecs and types over HTTP, as its documentation does. Arguments: URL MODEL PHOTO."""

import sys

import httpx
import numpy as np
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

url, model, photo = sys.argv[1:]
with open(photo, "rb") as file:
    image = file.read()
for tensor in (
    Base64Codec.encode_input("image", [image], use_bytes=False),
    NumpyCodec.encode_input("image", np.zeros((1, 10, 30, 3), np.uint8)),
):
    request = InferenceRequest(inputs=[tensor]).model_dump(exclude_none=True)
    said = httpx.post(f"{url}/v2/models/{model}/infer", json=request)
    answer = InferenceResponse.model_validate_json(said.raise_for_status().text)
    assert NumpyCodec.decode_output(answer.outputs[0]).shape == (1, 2)
print("Base64Codec, NumpyCodec, InferenceResponse")
