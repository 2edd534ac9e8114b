"""What can go wrong in the embedded agent.

AgentError
├── NotLoopback      asked to listen on an address that other machines can reach
├── PortTaken        another program listens on the port
└── ApiError         a request that is answered with an error status and a sentence
    └── BadRequest   400
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["AgentError", "ApiError", "BadRequest", "NotLoopback", "PortTaken"]


class AgentError(Exception):
    """The base of every error of this package; its text is one sentence for the user."""


class NotLoopback(AgentError):
    """The host is not a loopback address; an agent without access control must not be reachable from outside."""


class PortTaken(AgentError):
    """The address cannot be bound because another program has it."""


class ApiError(AgentError):
    """A request answered with `status` and a sentence as plain text: Consul's own where Consul has one."""

    def __init__(self, status: int, sentence: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = headers or {}


class BadRequest(ApiError):
    """The request itself is wrong: 400."""

    def __init__(self, sentence: str) -> None:
        super().__init__(400, sentence)
