"""Calls a worker with the client generated from the protocol's own OpenAPI file. Arguments: URL MODEL PHOTO."""

import base64
import sys

from open_inference.openapi.client import OpenInferenceClient
from open_inference.openapi.types import InferenceRequest, RequestInput

url, model, photo = sys.argv[1:]
with open(photo, "rb") as file:
    encoded = base64.b64encode(file.read()).decode()
client = OpenInferenceClient(base_url=url)
client.check_server_liveness()
client.check_server_readiness()
client.check_model_readiness(model)
assert client.read_server_metadata().extensions == ["binary_tensor_data", "classification"]
assert client.read_model_metadata(model).platform == "echo"
tensor = RequestInput(name="image", shape=[1], datatype="BYTES", data=[encoded])
answer = client.model_infer(model, request=InferenceRequest(inputs=[tensor]))
assert answer.outputs[0].shape == [1, 2]
print("health, metadata, inference")
