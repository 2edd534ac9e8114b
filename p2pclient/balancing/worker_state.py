"""What one client knows of one worker: its share and its turn, what it has to do, how it has done; pure, no clock."""

from __future__ import annotations

from math import exp

from p2pclient.balancing.latency_outlier import FORGET_S, Pace
from p2pclient.balancing.outlier_ejection import Standing
from p2pclient.types import Worker

# The latency of a member that has been asked but has not answered yet: more than any.
_UNKNOWN_S = 1e6


class Member:
    """One worker, what it has to do for this client, and how it has done."""

    __slots__ = ("due", "in_flight", "latency_s", "pace", "ramp_from_s", "seen_s", "share", "standing", "worker")

    worker: Worker

    def __init__(self, ramp_from_s: float, due: float) -> None:
        self.in_flight = 0
        self.share = 1.0
        self.due = due  # virtual time of its next turn
        self.ramp_from_s = ramp_from_s
        self.standing = Standing()
        self.pace = Pace()
        self.latency_s = 0.0  # as of `seen_s`
        self.seen_s = 0.0

    def observe(self, took_s: float, now_s: float, *, answered: bool) -> None:
        """Peak EWMA (Finagle's): a slower answer counts in full at once, faster ones take `FORGET_S` to.

        A failure counts only if it took longer than answers do: one that fails fast is not fast.
        """
        if took_s > self.latency_s:
            self.latency_s = took_s
        elif answered:
            kept = exp((self.seen_s - now_s) / FORGET_S)
            self.latency_s = kept * self.latency_s + (1.0 - kept) * took_s
        else:
            return
        self.seen_s = now_s

    def expected_s(self, now_s: float) -> float:
        """Seconds that a request more would take: the latency x those in flight, this one included.

        The latency is forgotten as time passes, but not while an answer is owed: a worker that has come to
        a halt would look better and better. A member without a record is tried with one request, and with
        more only when all others are worse.
        """
        if self.in_flight:
            return (self.latency_s or _UNKNOWN_S) * (self.in_flight + 1)
        return self.latency_s * exp((self.seen_s - now_s) / FORGET_S)
