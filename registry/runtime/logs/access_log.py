"""The access log: one line for a request that was answered, or for some of them, chosen by chance.

A line never holds a query or a header: both may hold tickets and tokens.
"""

from __future__ import annotations

import json
import logging
import random
import re
from collections.abc import Callable, Mapping

from registry.runtime.chance_sample import ChanceSample
from registry.runtime.tracing.current import current_trace

logger = logging.getLogger(__name__)

PATH_CHARACTERS = 200

TRACE_ID_FIELD = "trace_id"

_PLAIN = re.compile(r"[!#-<>-~]+")  # printable ASCII without blanks, quotes and the equals sign

Value = str | int | float


class AccessLog:
    """Lines for the part `sample` of the requests (above 0, at most 1). `dice` gives numbers from 0 to below 1."""

    def __init__(self, sample: float = 1.0, *, dice: Callable[[], float] = random.random) -> None:
        self._sample = ChanceSample(sample, dice=dice)

    def wants(self) -> bool:
        """Whether this request gets a line; to be asked once for each request."""
        return self._sample.wants()

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
        """Write the line of one request; `size` is that of the answer's body, None where it is not known.

        A request that is being traced has its trace's id in the line; `trace_id` among `more` is that of another one.
        """
        trace = current_trace.get()
        fields: dict[str, Value | None] = {
            "method": method,
            "path": path[:PATH_CHARACTERS],
            "status": status,
            "bytes": size,
            "ms": round(took_s * 1000, 3),
            **more,
            "request_id": request_id,
            TRACE_ID_FIELD: more.get(TRACE_ID_FIELD) or (None if trace is None else trace.trace_id),
        }
        known = {name: value for name, value in fields.items() if value is not None}
        logger.info("%s", _as_text(known), extra={"fields": known})


def stages_ms(stages: Mapping[str, float]) -> dict[str, Value]:
    """Fields for the stages of a request, from seconds."""
    return {f"{stage}_ms": round(seconds * 1000, 3) for stage, seconds in stages.items()}


def _as_text(fields: Mapping[str, Value]) -> str:
    return " ".join(f"{name}={_quoted(str(value))}" for name, value in fields.items())


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
