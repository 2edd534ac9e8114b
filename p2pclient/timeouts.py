"""How long the client waits for what, in seconds: every limit that a caller does not set."""

from __future__ import annotations

BACKOFF_S = 0.1
BACKOFF_MAX_S = 1.0
"""A retry waits a random part of 0.1 s x 2^n, and of 1 s at most (source: gRPC's retry design, A6)."""

LOOKUP_TRY_S = 5.0
"""A lookup is answered from memory: one that takes longer than this is better asked again."""

LOOKUP_TURN_S = 1.0
"""How long one of several lookup services may take before the next one is asked."""

SUBSCRIBE_S = 1.0
"""How long a call waits for a subscription's first list: as long as for one of several lookup services."""

LATE_TIMES = 10.0
LATE_AT_LEAST_S = 1.0
"""An attempt is late after 10 times what 95 of 100 answers take, and after a second at least."""

PROBE_S = 0.1
"""Where all workers refuse connections, the calls that wait try one worker this often, together."""

BUDGET_S = 0.1
"""How long a call that has no permit for another attempt waits, about, before it asks for one again."""

PATIENCE_S = 5.0
"""How long a lookup service, or workers, that have never answered are waited for, and a service that Consul has never
named. The address or the name is more likely wrong than the server restarting; what has answered before is waited for
until the deadline."""

SHORTEST_ATTEMPT_S = 0.01
"""An attempt with less time than this left would only hide the error of the one before it."""

HURRIED_S = 0.1
"""No answer within less than this says nothing of the worker, where an earlier attempt met with more than silence."""
