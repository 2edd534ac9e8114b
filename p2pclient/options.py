"""Options that belong together: how https is verified, how workers are chosen, and what each call may take."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from typing import Any, Self

from p2pclient import validation
from p2pclient.balancing.balancer import SLOW_START_S
from p2pclient.balancing.subsetting import SIZE


@dataclass(frozen=True, slots=True)
class TLS:
    """What https is verified with: `context`; else the system's authorities or those in the PEM file `ca`.

    `cert` is the PEM file of a certificate to show to servers that ask for one, `key` that of its key, unless it is
    in the same file. Raises ValueError if these exclude each other.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    context: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        if self.context is not None and (self.ca or self.cert or self.key):
            raise ValueError("context and ca, cert or key exclude each other: put all of it into the context")
        if self.key is not None and self.cert is None:
            raise ValueError("a key is of no use without its certificate: give cert, too")

    def verification(self) -> ssl.SSLContext | bool:
        """The context to verify with, or True for the usual one.

        Raises OSError or ssl.SSLError if a file cannot be read or holds something else.
        """
        if self.context is not None or not (self.ca or self.cert):
            return self.context or True
        context = ssl.create_default_context(cafile=self.ca)
        if self.cert is not None:
            context.load_cert_chain(self.cert, self.key)
        return context


@dataclass(frozen=True, slots=True)
class Balancing:
    """How the workers of a subscription are chosen from.

    `subset`: how many workers one client uses, more while it is busy; None: all. `slow_start_s`: for how long a new
    worker gets less than its share; 0: not at all. Raises ValueError if one is out of range.
    """

    subset: int | None = SIZE
    slow_start_s: float = SLOW_START_S

    def __post_init__(self) -> None:
        if self.subset is not None:
            validation.at_least_one("subset", self.subset)
        if self.slow_start_s:
            validation.positive("slow_start_s", self.slow_start_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """What one call goes by. Raises ValueError if a value is out of range.

    `service` None is the lookup service's default one; `top` counts labels.
    """

    service: str | None = None
    top: int = 5
    timeout_s: float = 30.0
    attempts: int = 3
    hedge: bool = False

    def __post_init__(self) -> None:
        validation.at_least_one("top", self.top)
        validation.positive("timeout_s", self.timeout_s)
        validation.at_least_one("attempts", self.attempts)

    def but(
        self,
        *,
        service: str | None = None,
        top: int | None = None,
        timeout_s: float | None = None,
        attempts: int | None = None,
        hedge: bool | None = None,
    ) -> Self:
        """The same with these changes, of which those that are None change nothing."""
        if service is None and top is None and timeout_s is None and attempts is None and hedge is None:
            return self
        given = {"service": service, "top": top, "timeout_s": timeout_s, "attempts": attempts, "hedge": hedge}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        return replace(self, **changes)
