"""Scores -> the body of an inference response: JSON, perhaps with binary tensors after it, perhaps compressed."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.batching.queue import Scores
from worker.engines.model_io.outputs import ensure_finite
from worker.inference.model import Model
from worker.protocols.openinference.request import Inference
from worker.protocols.openinference.schema import OUTPUT
from worker.protocols.tfserving.codec import decimals

_WORTH_BYTES = 512  # below, compressing saves no packet
_LEVEL = 1  # numbers compress little at any level


@dataclass(frozen=True, slots=True)
class EncodedResponse:
    """A body; the length of its JSON in bytes where binary tensors follow; its Content-Encoding."""

    body: bytes
    json_bytes: int | None = None
    coding: str | None = None


def write_response(
    inference: Inference, scores: Sequence[Scores], *, model: Model, accepts: str = ""
) -> EncodedResponse:
    """The response to `inference`, from the scores [classes] of each of its images.

    Compressed by the first of gzip and deflate that `accepts`, an Accept-Encoding, names. Raises ModelError.
    """
    plain = _plain(inference, scores, model)
    body, coding = compressed(plain.body, accepts)
    return EncodedResponse(body, plain.json_bytes, coding)


def _plain(inference: Inference, scores: Sequence[Scores], model: Model) -> EncodedResponse:
    head: dict[str, Any] = {"model_name": model.name, "model_version": model.version}
    if inference.id is not None:
        head["id"] = inference.id
    output = {"name": OUTPUT} | _described(inference, scores, model)
    if inference.wanted.binary:
        binary = _binary(inference, scores, model)
        output["parameters"] = {"binary_data_size": len(binary)}
        text = json.dumps(head | {"outputs": [output]}).encode()
        return EncodedResponse(text + binary, len(text))
    data = _text(inference, scores, model)
    before = json.dumps(head)[:-1]
    return EncodedResponse(f'{before},"outputs":[{json.dumps(output)[:-1]},"data":{data}}}]}}\n'.encode())


def compressed(body: bytes, accepts: str) -> tuple[bytes, str | None]:
    """A body, compressed by the first of gzip and deflate that `accepts` names, and the name; None for neither."""
    if len(body) < _WORTH_BYTES:
        return body, None
    for coding in accepts.lower().split(","):
        name, _, quality = (part.strip() for part in coding.partition(";"))
        if name in ("gzip", "deflate") and quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            packing = zlib.compressobj(_LEVEL, wbits=31 if name == "gzip" else 15)
            return packing.compress(body) + packing.flush(), name
    return body, None


def _described(inference: Inference, scores: Sequence[Scores], model: Model) -> dict[str, Any]:
    classes = model.engine.classes
    k = inference.wanted.classes
    if k is None:
        return {"datatype": "FP32", "shape": [len(scores), classes]}
    return {"datatype": "BYTES", "shape": [len(scores), min(k, classes)]}


def _binary(inference: Inference, scores: Sequence[Scores], model: Model) -> bytes:
    if inference.wanted.classes is None:
        numbers = np.asarray(scores, "<f4")
        ensure_finite(numbers)
        return numbers.tobytes()
    texts = [text.encode() for text in _best(inference.wanted.classes, scores, model)]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def _text(inference: Inference, scores: Sequence[Scores], model: Model) -> str:
    if inference.wanted.classes is None:
        return decimals(np.concatenate(scores))
    return json.dumps(_best(inference.wanted.classes, scores, model))


def _best(k: int, scores: Sequence[Scores], model: Model) -> list[str]:
    """`score:index:label` of the k best of each image, as Triton's classification extension writes them."""
    return [
        f"{share:.6f}:{index}:{label}"
        for row in scores
        for index, (label, share) in zip(np.argsort(-row, kind="stable").tolist(), model.top(row, k), strict=False)
    ]
