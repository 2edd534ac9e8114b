"""Limits how often Consul is queried when changes come in quick succession. Pure; the caller sleeps."""

from __future__ import annotations


class TokenBucket:
    """Lets `burst` queries through at once and `rate_hz` a second after that. Each call brings the time."""

    def __init__(self, *, rate_hz: float, burst: float, now_s: float) -> None:
        self._rate_hz = rate_hz
        self._burst = burst
        self._tokens = burst
        self._at_s = now_s

    def delay_s(self, now_s: float) -> float:
        """Take a token; how long to wait before using it, 0 if one was there."""
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._rate_hz) - 1
        self._at_s = now_s
        return max(0.0, -self._tokens / self._rate_hz)
