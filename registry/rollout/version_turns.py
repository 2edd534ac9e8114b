"""Decides which version has the next turn so that each always has its share of the turns, rounded. Pure.

R. Tijdeman, "The chairman assignment problem", Discrete Mathematics 32 (1980): of the versions whose arrears are large
enough, the one whose next turn must come the earliest goes next. After any number of turns no version of n is more than
1 - 1/(2n - 2) turns ahead or behind; of two versions none is more than half a turn.
"""

from __future__ import annotations

from math import gcd

from registry.rollout.record import Weights


class VersionTurns:
    """The turns of versions with these weights, each of them above 0. After the sum of the weights they repeat."""

    __slots__ = ("_arrears", "_period", "_taken", "_turn", "_versions", "weights")

    def __init__(self, weights: Weights) -> None:
        self.weights = dict(weights)
        divisor = gcd(*self.weights.values())
        self._versions = [(version, weight // divisor) for version, weight in self.weights.items()]
        self._period = sum(weight for _, weight in self._versions)
        # All quantities are multiplied by 2n - 2, so that they are whole numbers.
        self._arrears = max(1, 2 * len(self._versions) - 2)
        self._turn = 0
        self._taken = dict.fromkeys(self.weights, 0)

    def peek(self) -> str:
        """The version that has the next turn; no turn passes."""
        if len(self._versions) == 1:
            return self._versions[0][0]
        turn, period, arrears, taken = self._turn + 1, self._period, self._arrears, self._taken
        chosen, due, chosen_weight = "", 0, 0
        for version, weight in self._versions:
            had = taken[version]
            if arrears * (weight * turn - had * period) < period:
                continue
            latest = arrears * had + arrears - 1
            if not chosen_weight or latest * chosen_weight < due * weight:
                chosen, due, chosen_weight = version, latest, weight
        return chosen

    def next(self) -> str:
        """The version that has the next turn; the turn passes."""
        version = self.peek()
        self._turn += 1
        self._taken[version] += 1
        if self._turn == self._period:
            self._turn = 0
            self._taken = dict.fromkeys(self._taken, 0)
        return version
