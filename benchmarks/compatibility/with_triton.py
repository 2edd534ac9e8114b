"""Calls a worker with NVIDIA's tritonclient[http], every call that it has. Arguments: URL MODEL PHOTO."""

import base64
import contextlib
import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

url, model, photo = sys.argv[1:]
with open(photo, "rb") as file:
    image = np.array([file.read()], object)
client = triton.InferenceServerClient(url.removeprefix("http://"))


def tensor(values, datatype, binary=True):
    made = triton.InferInput("image", list(values.shape), datatype)
    return made.set_data_from_numpy(values, binary_data=binary)


def scores(*inputs, **options):
    return client.infer(model, list(inputs), **options).as_numpy("probabilities")


assert client.is_server_live()
assert client.is_server_ready()
assert client.is_model_ready(model)
assert client.is_model_ready(model, "1")
assert not client.is_model_ready("nope")
assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
assert client.get_model_metadata(model)["inputs"][0]["name"] == "image"
with contextlib.suppress(InferenceServerException):
    raise SystemExit(f"a model configuration: {client.get_model_config(model)}")

expected = scores(tensor(image, "BYTES"))
assert expected.shape == (1, 2)
for coding in ("gzip", "deflate"):
    packed = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
    assert np.array_equal(scores(tensor(image, "BYTES"), **packed), expected)
in_json = triton.InferRequestedOutput("probabilities", binary_data=False)
encoded = tensor(np.array([base64.b64encode(image[0])], object), "BYTES", binary=False)
answer = client.infer(model, [encoded], outputs=[in_json], request_id="seven", timeout=5_000_000)
assert answer.get_response()["id"] == "seven"
assert np.array_equal(answer.as_numpy("probabilities"), expected)
for binary in (True, False):
    classes = triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=2)
    ((best, _),) = scores(tensor(image, "BYTES"), outputs=[classes])
    assert (best if isinstance(best, str) else best.decode()).endswith(":0:width"), best
    for datatype, kind in (("UINT8", np.uint8), ("FP32", np.float32)):
        pixels = tensor(np.zeros((2, 10, 30, 3), kind), datatype, binary=binary)
        assert scores(pixels).tolist() == [[0.75, 0.25]] * 2
assert np.array_equal(
    client.async_infer(model, [tensor(image, "BYTES")]).get_result().as_numpy("probabilities"), expected
)
client.close()
print("health, metadata, binary, JSON, gzip, deflate, classes, UINT8, FP32, timeout, asynchronous")
