"""The access log: one line for a request that was answered, or for some of them, chosen by chance.

A line never holds a query or a header: both may hold tickets and tokens.
"""

from __future__ import annotations

import json
import logging
import math
import random
import re
from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)

PATH_CHARACTERS = 200

_PLAIN = re.compile(r"[!#-<>-~]+")  # printable ASCII without blanks, quotes and the equals sign

Value = str | int | float


class AccessLog:
    """Lines for the part `sample` of the requests (above 0, at most 1). `dice` gives numbers from 0 to below 1."""

    def __init__(self, sample: float = 1.0, *, dice: Callable[[], float] = random.random) -> None:
        self._sample = sample
        self._dice = dice
        self._skip = self._gap()

    def wants(self) -> bool:
        """Whether this request gets a line; to be asked once for each request.

        How many requests are passed over is drawn when a line is due, so that the others cost a subtraction.
        """
        if self._skip:
            self._skip -= 1
            return False
        self._skip = self._gap()
        return True

    def write(
        self,
        *,
        method: str,
        path: str,
        status: int,
        size: int | None,
        took_s: float,
        request_id: str,
        **more: Value | None,
    ) -> None:
        """Write the line of one request; `size` is that of the answer's body, None where it is not known."""
        fields: dict[str, Value | None] = {
            "method": method,
            "path": path[:PATH_CHARACTERS],
            "status": status,
            "bytes": size,
            "ms": round(took_s * 1000, 3),
            **more,
            "request_id": request_id,
        }
        known = {name: value for name, value in fields.items() if value is not None}
        logger.info("%s", _as_text(known), extra={"fields": known})

    def _gap(self) -> int:
        """How many requests pass before the next one that gets a line: geometrically distributed."""
        if self._sample >= 1:
            return 0
        return int(math.log(1 - self._dice()) / math.log1p(-self._sample))


def stages_ms(stages: Mapping[str, float]) -> dict[str, Value]:
    """Fields for the stages of a request, from seconds."""
    return {f"{stage}_ms": round(seconds * 1000, 3) for stage, seconds in stages.items()}


def _as_text(fields: Mapping[str, Value]) -> str:
    return " ".join(f"{name}={_quoted(str(value))}" for name, value in fields.items())


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
