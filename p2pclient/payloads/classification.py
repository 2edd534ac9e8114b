"""A request for an image's labels, and the labels in its answer: bytes in, `Label`s out; pure.

POST /?top=K                body: the image
200 [["tabby", 0.61], ...]  best first
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from p2pclient.errors import BadImage, BadInput, ImageTooLarge
from p2pclient.messages import Answer, Request
from p2pclient.payloads.image import media_type
from p2pclient.types import Label

IMAGE_FAULTS: Mapping[int, type[BadInput]] = {400: BadImage, 413: ImageTooLarge, 415: BadImage}
"""The statuses that say that the image is at fault."""


def image_request(image: bytes, top: int) -> Request:
    """The request for the `top` best labels of an encoded image."""
    headers = {"Accept": "application/json", "Content-Type": media_type(image)}
    return Request(f"/?top={top}", headers, image, IMAGE_FAULTS)


def labels(answer: Answer) -> tuple[Label, ...]:
    """`[["tabby", 0.61], ...]` as labels; raises ValueError or TypeError if it is anything else.

    A model without names for its classes answers with their numbers: these become text.
    """
    pairs = answer.json()
    if not isinstance(pairs, list) or not pairs:
        raise TypeError("not a list of pairs")
    found = []
    for label, score in pairs:
        if type(label) not in (str, int) or type(score) not in (int, float) or not math.isfinite(score):
            raise TypeError("not a label and a score")
        found.append(Label(str(label), float(score)))
    return tuple(found)
