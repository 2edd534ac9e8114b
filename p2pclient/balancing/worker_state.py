"""What one client knows of one worker: its share and its turn, its load, how it has done; pure, no clock."""

from __future__ import annotations

from p2pclient.balancing.latency_outlier import LatencyOutlier
from p2pclient.balancing.outlier_ejection import EjectionState
from p2pclient.types import Worker


class WorkerState:
    """One member: a worker, what this client has under way with it, and how it has done."""

    __slots__ = ("due", "ejection", "in_flight", "latency", "ramp_from_s", "share", "worker")

    worker: Worker

    def __init__(self, ramp_from_s: float, due: float) -> None:
        self.in_flight = 0
        self.share = 1.0
        self.due = due  # virtual time of its next turn
        self.ramp_from_s = ramp_from_s
        self.ejection = EjectionState()
        self.latency = LatencyOutlier()
