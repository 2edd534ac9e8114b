"""In a predicting thread: a batch of images -> the scores of those that are still wanted.

If a batch fails, its images run one by one, so that only the image that caused the failure gets an error.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np

from worker.batching.queue import Image, QueuedImage, Scores
from worker.errors import Busy, WorkerError

logger = logging.getLogger(__name__)

Predict = Callable[[Sequence[Image]], Scores]

NOTHING: Scores = np.empty((0, 0), np.float32)


class Result(NamedTuple):
    """A thread's report on a batch: the images that were still wanted, their scores, and its monotonic times.

    batch: all its images
    undecodable: images that the thread was to decode and could not, with the reason
    """

    batch: Sequence[QueuedImage]
    members: list[QueuedImage]
    scores: Scores
    began_s: float
    ended_s: float
    undecodable: Sequence[tuple[QueuedImage, WorkerError]] = ()


class Failure(NamedTuple):
    """A thread's report on images that have no scores, and why."""

    batch: Sequence[QueuedImage]
    error: WorkerError


def outcomes(
    predict: Predict,
    batch: Sequence[QueuedImage],
    ready: Future[Sequence[Image]] | None,
    padded: Callable[[Sequence[Image]], Sequence[Image]] | None,
) -> Iterator[Result | Failure]:
    """What becomes of a batch; if it fails, of each of its images in order. The arguments as for `predicted`."""
    try:
        yield _outcome(predict, batch, ready, padded)
    except _BatchFailed:
        for image in batch:
            yield _outcome(predict, [image], None, padded)


class _BatchFailed(Exception):
    """One image of several makes the engine fail."""


def _outcome(
    predict: Predict,
    batch: Sequence[QueuedImage],
    ready: Future[Sequence[Image]] | None,
    padded: Callable[[Sequence[Image]], Sequence[Image]] | None,
) -> Result | Failure:
    try:
        return predicted(predict, batch, ready, padded)
    except Busy as error:  # the engine cannot predict now, whichever the images
        return Failure(batch, error)
    except BaseException as error:  # whatever the code of a model raises
        if len(batch) > 1:
            raise _BatchFailed from None
        logger.error("A prediction failed.", exc_info=error)
        return Failure(batch, WorkerError("The model failed on this input; the worker's log says why."))


def predicted(
    predict: Predict,
    batch: Sequence[QueuedImage],
    ready: Future[Sequence[Image]] | None,
    padded: Callable[[Sequence[Image]], Sequence[Image]] | None,
) -> Result:
    """The scores of each image that is still wanted when the batch begins, decoded if need be.

    `ready` is the batch as one array that is being made; `padded` makes one, for engines that want batches of few
    sizes.
    """
    undecodable = _decode_here(batch)
    began_s = time.monotonic()
    failed = [image for image, _ in undecodable]
    members = [image for image in batch if image.wanted(began_s) and image not in failed]
    if not members:
        return Result(batch, [], NOTHING, began_s, began_s, undecodable)
    images = [image.image for image in members]
    if ready is not None and len(members) == len(batch):
        scores = predict(ready.result())
    else:
        scores = predict(padded(images) if padded is not None else images)
    if len(scores) < len(images) or (padded is None and len(scores) != len(images)):
        raise WorkerError(f"The model gave {len(scores)} results for {len(images)} images.")
    return Result(batch, members, scores[: len(images)], began_s, time.monotonic(), undecodable)


def _decode_here(batch: Sequence[QueuedImage]) -> list[tuple[QueuedImage, WorkerError]]:
    """In a thread: decode the images of a batch that still have to be; those that cannot be decoded, and why."""
    undecodable: list[tuple[QueuedImage, WorkerError]] = []
    for image in batch:
        if image.decode is not None and image.wanted(time.monotonic()):
            try:
                image.decode_here()
            except WorkerError as error:
                undecodable.append((image, error))
    return undecodable
