"""The batcher's pure decisions: the size of the next batch, the cores that it runs on, and which requests to refuse.

Work-conserving: a free engine takes what is queued and never waits for more (docs/decisions/0021-no-wait.md). An engine
with streams runs either one batch on all cores or one batch on each core, whichever answers all images sooner.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from worker.batching.padding import padded_size

CAP_TOLERANCE = 0.03
"""The cap is the smallest batch within this share of the best throughput: a larger one only adds latency."""

ALL_CORES_DISCOUNT = 0.15
"""How much slower a batch on all cores may get while the worker also decodes and answers, which delays all threads of
that batch and only one of several streams; nothing else runs while both are measured (explanation/batching.md)."""

LEARN_SHARE = 0.25
"""How much one full batch changes the known slowdown: half of a lasting change is known after three batches."""

SURPRISE_AT_MOST = 4.0
"""One batch counts as at most this many times slower than known: a process that was stopped is not slow."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the engine was measured to be: `cap` images in one batch, `batch_s` for it, `single_s` for one image.

    `streams` is set if as many batches at the same time as there are cores answer more images a second.
    """

    cap: int
    batch_s: float
    single_s: float
    streams: Streams | None = None

    @property
    def image_s(self) -> float:
        """Seconds per image while a queue waits."""
        return self.streams.image_s if self.streams else self.batch_s / self.cap

    @property
    def last_s(self) -> float:
        """Seconds from the beginning of a prediction to its end, while a queue waits."""
        return self.streams.each.single_s if self.streams else self.single_s

    def seconds(self, size: int) -> float:
        """Seconds that a batch of `size` images takes: on the straight line through the two sizes that are known."""
        more = (self.batch_s - self.single_s) / (self.cap - 1) if self.cap > 1 else self.single_s
        return self.single_s + more * (size - 1)


@dataclass(frozen=True, slots=True)
class Streams:
    """`count` batches at a time, and the pace of `each` stream while all of them run."""

    count: int
    each: Pace

    @property
    def image_s(self) -> float:
        """Seconds per image in full batches of all streams."""
        return self.each.image_s / self.count


def learn_pace(seconds: Mapping[int, float], *, streams: Streams | None = None) -> Pace:
    """The cap from measured seconds by batch size (1 must be among them); with `streams` unless they answer less.

    Streams win within `ALL_CORES_DISCOUNT`: what interrupts one stream does not delay the others.
    """
    best = max(size / seconds[size] for size in seconds)
    cap = min(size for size in seconds if size / seconds[size] >= best * (1 - CAP_TOLERANCE))
    all_cores = Pace(cap=cap, batch_s=seconds[cap], single_s=seconds[1])
    more = streams is not None and streams.image_s * (1 - ALL_CORES_DISCOUNT) < all_cores.image_s
    return replace(all_cores, streams=streams) if more else all_cores


def slowdown(known: float, pace: Pace, *, images: int, took_s: float) -> float:
    """How many times slower than `pace` the worker really is, after a batch of `images` that took `took_s`.

    Exponentially weighted; a small batch says less about how fast a long queue moves, and counts for less.
    """
    expected_s = pace.seconds(images)
    if expected_s <= 0:
        return known
    seen = min(took_s / expected_s, SURPRISE_AT_MOST * known)
    return known + LEARN_SHARE * min(1.0, images / pace.cap) * (seen - known)


def batch_size(pace: Pace, *, queued: int, sizes: Sequence[int]) -> int:
    """How many of the queued images to take: all up to the cap.

    With fixed `sizes`, a smaller full batch is taken instead of one that would be mostly padding, if it answers more
    images a second.
    """
    most = min(queued, pace.cap)
    choices = {most, *(size for size in sizes if size < most)}
    return max(choices, key=lambda images: (_images_a_second(pace, images, sizes), images))


@dataclass(frozen=True, slots=True)
class NextBatch:
    """What a free engine, or a free stream of it, runs next: at most `images`, on one core (`stream`) or on all."""

    images: int
    stream: bool


def next_batch(pace: Pace, *, queued: int, coming: int, running: int, sizes: Sequence[int]) -> NextBatch:
    """The next batch, while `running` others of the same engine run; at least one image must be queued.

    On all cores only while nothing else runs, and only if all images that are queued or coming are answered sooner than
    by the streams, as a single image is.
    """
    streams = pace.streams
    if streams is None:
        return NextBatch(batch_size(pace, queued=queued, sizes=sizes), stream=False)
    known = queued + coming
    share = math.ceil(known / streams.count)
    if not running and known <= pace.cap and pace.seconds(known) < streams.each.seconds(share):
        return NextBatch(queued, stream=False)
    free = max(1, streams.count - running)
    return NextBatch(min(streams.each.cap, math.ceil(queued / free)), stream=True)


def _images_a_second(pace: Pace, images: int, sizes: Sequence[int]) -> float:
    took_s = pace.seconds(padded_size(images, sizes))
    return images / took_s if took_s > 0 and sizes else images


def crowded(*, queued: int, most: int, before: bool) -> bool:
    """Whether the queue is nearly full: from four fifths of `most` on, until it has fallen below two fifths.

    The gap keeps a worker at the edge from changing its health with every check.
    """
    return queued * 5 >= most * (2 if before else 4)


def expected_wait_s(pace: Pace, *, ahead: int, images: int = 1, slower: float = 1.0) -> float:
    """Seconds until `images` that arrive now are answered: those for `ahead` earlier images, and their own.

    With no earlier images the learned slowdown `slower` does not count: only a prediction can show that it is over.
    """
    if ahead == 0:
        slower = min(1.0, slower)
    own_s = pace.last_s if ahead else pace.single_s
    return ((ahead + images - 1) * pace.image_s + own_s) * slower


class Capacity(NamedTuple):
    """How much may wait before an engine: `images`, and `nbytes` of memory, encoded and decoded."""

    images: int
    nbytes: int


class Share(NamedTuple):
    """How much of what waits belongs to one caller: its `images`; `callers` have some, this one included."""

    images: int
    callers: int


ONLY_CALLER = Share(0, 1)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused, and after how many seconds it is worth asking again."""

    reason: Literal["queue", "memory", "deadline"]
    retry_after_s: float


def refusal(
    room: Capacity, *, waiting: Capacity, more: Capacity, wait_s: float, left_s: float, share: Share = ONLY_CALLER
) -> Refusal | None:
    """Whether to refuse `more`, while `waiting` wait already and the caller's deadline is in `left_s`.

    While nothing waits there is room for any request: one that is larger than `room` could otherwise never be served.
    Where other callers have filled the room, a caller still has its equal share of it, so that nobody keeps others out:
    twice the room may wait then, and no more. The memory is for all.
    """
    if waiting.images and waiting.images + more.images > _room_for(share, more.images, room.images):
        return Refusal("queue", wait_s)
    if waiting.nbytes and waiting.nbytes + more.nbytes > room.nbytes:
        return Refusal("memory", wait_s)
    if wait_s > left_s:
        return Refusal("deadline", wait_s - max(0.0, left_s))
    return None


def _room_for(share: Share, more: int, room: int) -> int:
    """How many images may wait in all after `more` of a caller: twice the room where it stays within its share."""
    return 2 * room if share.callers > 1 and (share.images + more) * share.callers <= room else room
