"""Decides which requests are traced, from OpenTelemetry's variables. Pure, and cheap for a request that is not traced.

The samplers are those of OpenTelemetry's specification, with the same meaning and names. The decision is made here and
not by the SDK, because the SDK would make a trace id and objects for each request that it does not record.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from registry.runtime.chance_sample import ChanceSample
from registry.runtime.errors import SettingsError
from registry.runtime.tracing.trace_context import TraceContext

SAMPLER = "OTEL_TRACES_SAMPLER"
ARGUMENT = "OTEL_TRACES_SAMPLER_ARG"

_RATIO = "traceidratio"
_PARTS = {"always_on": 1.0, "always_off": 0.0, _RATIO: None}
_PARENT_BASED = "parentbased_"

_IDS = 1 << 64
"""The ratio looks at the lower 64 bits of a trace's id, as the SDK's sampler does."""


class Sampling:
    """Traces the part `part` of the requests that belong to no trace yet (0 to 1).

    `parent_based`: a request of a client that has a trace is traced if the client records it; otherwise the part
    counts for these requests, too, by the id of the trace. `dice` gives numbers from 0 to below 1.
    """

    def __init__(self, part: float, *, parent_based: bool, dice: Callable[[], float] = random.random) -> None:
        self.part = part
        self.ids_below = round(part * _IDS)
        self._parent_based = parent_based
        self.begins = ChanceSample(part, dice=dice).wants
        """Whether a request without a trace begins one: `wants(None)`, at half its cost."""

    def wants(self, parent: TraceContext | None) -> bool:
        """Whether a request is traced that came with this trace, or with none; to be asked once for each request."""
        if parent is None:
            return self.begins()
        if self._parent_based:
            return parent.recorded
        return parent.trace_id % _IDS < self.ids_below


def sampling_of(environment: Mapping[str, str]) -> Sampling:
    """What `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` ask for; all requests without them.

    Raises SettingsError for a sampler that is not known, or a part that is none.
    """
    name = environment.get(SAMPLER, "").strip().lower() or f"{_PARENT_BASED}always_on"
    kind = name.removeprefix(_PARENT_BASED)
    if kind not in _PARTS:
        known = ", ".join([*_PARTS, *(f"{_PARENT_BASED}{each}" for each in _PARTS)])
        raise SettingsError(f"{SAMPLER}={name[:40]} cannot be used: give one of {known}.")
    part = _PARTS[kind]
    if part is None:
        part = _part_of(environment.get(ARGUMENT, "").strip() or "1.0")
    return Sampling(part, parent_based=name.startswith(_PARENT_BASED))


def _part_of(text: str) -> float:
    try:
        part = float(text)
    except ValueError:
        part = -1.0
    if not 0 <= part <= 1:
        raise SettingsError(f"{ARGUMENT}={text[:40]} cannot be used: give a part of the requests, such as 0.01.")
    return part
