"""The steps that every protocol shares: the caller's time limit, how many and which images, images to scores."""

from __future__ import annotations

from worker.batching.queue import Image, Scores
from worker.engines.tensors import Tensors
from worker.errors import BadRequest
from worker.inference.image_predictor import ImagePredictor
from worker.inference.tensor_model import Parts
from worker.inference.tensor_predictor import TensorPredictor
from worker.repository.served_model import AnyPredictor
from worker.web.access.request_permission import permission_of
from worker.web.image_limit import IMAGES_AT_MOST, too_many_images
from worker.web.request import IncomingRequest

Images = list[bytes] | list[Image]
"""The images of one request: all of them encoded, or all of them pixels."""


def timeout_s(request: IncomingRequest) -> float | None:
    """The seconds until the caller's deadline: the header `P2P-Timeout-Ms`, or its ticket's if less; None without."""
    allowed_s = permission_of(request).limits.deadline_s
    text = request.headers.get("P2P-Timeout-Ms")
    if text is None:
        return allowed_s
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise BadRequest(f"P2P-Timeout-Ms: {text[:40]} cannot be used: give whole milliseconds.")
    wanted_s = int(text) / 1000
    return wanted_s if allowed_s is None else min(wanted_s, allowed_s)


async def scores_of(
    predictor: ImagePredictor, images: Images, *, deadline_s: float, request: IncomingRequest
) -> list[Scores]:
    """The scores [classes] of each image of the request, in order."""
    permission = permission_of(request)
    encoded = [image for image in images if isinstance(image, bytes)]
    if encoded:
        return await predictor.predict(encoded, deadline_s=deadline_s, permission=permission)
    return await predictor.predict_arrays(
        [image for image in images if not isinstance(image, bytes)], deadline_s=deadline_s, permission=permission
    )


async def outputs_of(
    predictor: TensorPredictor, given: Tensors | Images, *, deadline_s: float, request: IncomingRequest
) -> Parts:
    """The outputs of each row, or of each image of the request, in order."""
    permission = permission_of(request)
    if isinstance(given, Tensors):
        return await predictor.predict(given, deadline_s=deadline_s, permission=permission)
    encoded = [image for image in given if isinstance(image, bytes)]
    if encoded:
        return await predictor.predict_encoded(encoded, deadline_s=deadline_s, permission=permission)
    return await predictor.predict_pixels(
        [image for image in given if not isinstance(image, bytes)], deadline_s=deadline_s, permission=permission
    )


def classifier(predictor: AnyPredictor) -> ImagePredictor:
    """The predictor of a classifier. Raises BadRequest for that of a model that gives tensors."""
    if isinstance(predictor, TensorPredictor):
        raise BadRequest(f"The model gives tensors, not classes: ask {tensor_paths(predictor.model.name)}.")
    return predictor


def tensor_paths(model: str) -> str:
    """Where tensors are taken, for a sentence."""
    return f"/v2/models/{model}/infer or /v1/models/{model}:predict"


def of_one_kind(images: list[bytes | Image]) -> Images:
    """The images of a request, which must be at least one, not too many, and all encoded or all pixels."""
    check_count(len(images))
    encoded = [image for image in images if isinstance(image, bytes)]
    arrays = [image for image in images if not isinstance(image, bytes)]
    if encoded and arrays:
        raise BadRequest("Some images are encoded and some are pixels: send all of them alike.")
    return encoded or arrays


def check_count(count: int) -> None:
    """Raise BadRequest for no image, TooLarge for more than are taken in one request."""
    if count < 1:
        raise BadRequest("The request holds no image: send at least one.")
    if count > IMAGES_AT_MOST:
        raise too_many_images()
