"""When to run a batch, of what size and on how many cores, and whom to refuse: pure decisions of the batcher.

Work-conserving: a free engine takes what is there. The only wait is for requests that are known to be on
their way (being received or decoded) when a batch has just finished, and it is short. An engine with streams runs
either one batch on all cores or one on each of them, whichever has everybody answered sooner.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

WAIT_AT_MOST_S = 0.002
WAIT_SHARE = 0.1
"""Of one prediction: waiting longer could cost more than the fuller batch brings."""

CAP_TOLERANCE = 0.03
"""The cap is the smallest batch within so much of the best throughput: more only adds latency."""

WIDE_FLATTERED = 0.15
"""So much slower a batch on all cores may get by what else a worker does (decoding, answering), which holds up all of
its threads and only one of several streams; nothing else runs while both are measured (explanation/batching.md)."""

LEARN_SHARE = 0.25
"""How much one full batch moves what is known of the pace: half of a lasting change is known after three."""

SURPRISE_AT_MOST = 4.0
"""One batch counts as at most so many times slower than known: a process that was stopped is not slow."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What the engine was measured to do: `cap` images in one batch, `batch_s` for it, `single_s` for one.

    `streams` is there if as many batches at the same time as there are cores answer more.
    """

    cap: int
    batch_s: float
    single_s: float
    streams: Streams | None = None

    @property
    def image_s(self) -> float:
        """Seconds an image where many wait."""
        return self.streams.image_s if self.streams else self.batch_s / self.cap

    @property
    def last_s(self) -> float:
        """Seconds from the beginning of a prediction to its end, where many wait."""
        return self.streams.each.single_s if self.streams else self.single_s

    def seconds(self, size: int) -> float:
        """Of one batch of `size` images: on the straight line through the two that are known."""
        more = (self.batch_s - self.single_s) / (self.cap - 1) if self.cap > 1 else self.single_s
        return self.single_s + more * (size - 1)


@dataclass(frozen=True, slots=True)
class Streams:
    """So many batches at a time, and what `each` of them does while all of them run."""

    count: int
    each: Pace

    @property
    def image_s(self) -> float:
        """Seconds an image in full batches of all streams."""
        return self.each.image_s / self.count


def learn_pace(seconds: Mapping[int, float], *, streams: Streams | None = None) -> Pace:
    """The cap from measured seconds by batch size (1 must be among them); `streams` unless they answer less.

    Within what measurements differ by they are the better choice: what interrupts one of them does not hold the others
    up.
    """
    best = max(size / seconds[size] for size in seconds)
    cap = min(size for size in seconds if size / seconds[size] >= best * (1 - CAP_TOLERANCE))
    wide = Pace(cap=cap, batch_s=seconds[cap], single_s=seconds[1])
    more = streams is not None and streams.image_s * (1 - WIDE_FLATTERED) < wide.image_s
    return replace(wide, streams=streams) if more else wide


def slowdown(known: float, pace: Pace, *, images: int, took_s: float) -> float:
    """How much slower than `pace` the worker really is, after a batch of `images` that took `took_s`.

    Exponentially weighted; a small batch says less of how fast a long queue moves, and counts for less.
    """
    expected_s = pace.seconds(images)
    if expected_s <= 0:
        return known
    seen = min(took_s / expected_s, SURPRISE_AT_MOST * known)
    return known + LEARN_SHARE * min(1.0, images / pace.cap) * (seen - known)


def gather_s(pace: Pace, *, queued: int, coming: int, just_finished: bool) -> float:
    """How long a free engine should wait for more images before it takes what is queued; mostly 0.

    Never longer than a fuller batch can save: each image that joins saves its share of what a batch costs however
    small it is, and where that is nothing, as with most models on ordinary cores, nobody waits at all.
    """
    if pace.streams or not just_finished or coming == 0 or queued >= pace.cap:
        return 0.0
    joining = min(coming, pace.cap - queued)
    saved_s = joining / pace.cap * max(0.0, 2 * pace.single_s - pace.seconds(2))
    return min(WAIT_AT_MOST_S, WAIT_SHARE * pace.single_s, saved_s)


def padded(images: int, sizes: Sequence[int]) -> int:
    """The smallest of `sizes` that holds so many images; as many as there are if none does."""
    return min((size for size in sizes if size >= images), default=images)


def batch_size(pace: Pace, *, queued: int, sizes: Sequence[int]) -> int:
    """How many of the queued images to take: all up to the cap.

    With fixed `sizes` a batch that would be mostly padding is left for the next smaller size, if that answers
    more images a second.
    """
    most = min(queued, pace.cap)
    choices = {most, *(size for size in sizes if size < most)}
    return max(choices, key=lambda images: (_images_a_second(pace, images, sizes), images))


@dataclass(frozen=True, slots=True)
class Next:
    """What a free engine, or one free stream of it, is to run: at most so many `images`, on one core or on all."""

    images: int
    stream: bool


def next_run(pace: Pace, *, queued: int, coming: int, running: int, sizes: Sequence[int]) -> Next:
    """The next batch, where `running` others of the same engine run and at least one image is queued.

    On all cores only while nothing else runs, and only if everybody who is here or on the way is answered sooner so
    than by the streams: as a lone image is.
    """
    streams = pace.streams
    if streams is None:
        return Next(batch_size(pace, queued=queued, sizes=sizes), stream=False)
    everybody = queued + coming
    share = math.ceil(everybody / streams.count)
    if not running and everybody <= pace.cap and pace.seconds(everybody) < streams.each.seconds(share):
        return Next(queued, stream=False)
    free = max(1, streams.count - running)
    return Next(min(streams.each.cap, math.ceil(queued / free)), stream=True)


def _images_a_second(pace: Pace, images: int, sizes: Sequence[int]) -> float:
    took_s = pace.seconds(padded(images, sizes))
    return images / took_s if took_s > 0 and sizes else images


def crowded(*, queued: int, most: int, before: bool) -> bool:
    """Whether the queue is nearly full: from four fifths of `most` on, until it has fallen below two fifths.

    The gap keeps a worker at the edge from changing its health with every check.
    """
    return queued * 5 >= most * (2 if before else 4)


def expected_wait_s(pace: Pace, *, ahead: int, images: int = 1, slower: float = 1.0) -> float:
    """When `images` that arrive now would be answered: the work before them (decoded or not), and their own.

    With nothing before them what was learned of slowness is not held against them: they are how to find out
    whether it still is so.
    """
    if ahead == 0:
        slower = min(1.0, slower)
    own_s = pace.last_s if ahead else pace.single_s
    return ((ahead + images - 1) * pace.image_s + own_s) * slower


class Room(NamedTuple):
    """How much may wait before an engine: `images`, and `nbytes` of memory, encoded and decoded."""

    images: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why somebody is sent away, and in how many seconds it is worth asking again."""

    reason: Literal["queue", "memory", "deadline"]
    retry_after_s: float


def refusal(room: Room, *, waiting: Room, more: Room, wait_s: float, left_s: float) -> Refusal | None:
    """Whether to refuse `more`, where `waiting` wait already and `left_s` is what the caller has left.

    Where nothing waits there is room for anybody: a request larger than the room could otherwise never be served.
    """
    if waiting.images and waiting.images + more.images > room.images:
        return Refusal("queue", wait_s)
    if waiting.nbytes and waiting.nbytes + more.nbytes > room.nbytes:
        return Refusal("memory", wait_s)
    if wait_s > left_s:
        return Refusal("deadline", wait_s - max(0.0, left_s))
    return None
