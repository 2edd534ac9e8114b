"""What a lookup service tells operators, as JSON: the summary of services and workers, and events.

GET /summary                             services and workers with the reasons for what is unusual
GET /events?after=N&log=LOG&wait=30s     events after the one of that number, now or when there is one
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from yarl import URL

from p2pclient.bounds import whole_number
from p2pclient.discovery.failover import Failover
from p2pclient.discovery.registry import WAIT_S, lookup_refusal, unlike_lookup
from p2pclient.failures import Failure, Trouble
from p2pclient.messages import MALFORMED, Answer, bearer
from p2pclient.transport.base import Transport


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events as a lookup service tells them, oldest first. `log` names the process's log, `last` its last event."""

    log: str
    last: int
    events: Sequence[dict[str, Any]]


class OperatorPages:
    """The pages of the lookup services at these base URLs; methods raise Failure."""

    def __init__(self, transport: Transport, urls: Sequence[URL], *, token: str | None = None) -> None:
        self._servers = Failover(transport, urls, {"Accept": "application/json"} | bearer(token), lookup_refusal)

    async def summary(self, *, limit_s: float) -> dict[str, dict[str, Any]]:
        """The summaries of all services, by name."""
        answer, base = await self._servers.ask("/summary", limit_s=limit_s)
        try:
            return {str(service["name"]): service for service in answer.json()["services"]}
        except MALFORMED as error:
            raise _unlike(answer, base) from error

    async def events(self, since: EventPage | None, *, waits: bool, limit_s: float) -> EventPage:
        """The events that came after those of `since`; `waits`: where there is none yet, half a minute for one."""
        parameters = {} if since is None else {"after": since.last, "log": since.log}
        query = urlencode(parameters | ({"wait": f"{WAIT_S}s"} if waits else {}))
        limit_s = limit_s + WAIT_S if waits else limit_s
        answer, base = await self._servers.ask(f"/events?{query}", limit_s=limit_s, waits=waits)
        try:
            said = answer.json()
            return EventPage(str(said["log"]), whole_number(said["last"]), [dict(event) for event in said["events"]])
        except MALFORMED as error:
            raise _unlike(answer, base) from error


def _unlike(answer: Answer, base: str) -> Failure:
    return Failure(Trouble.FINAL, unlike_lookup(answer, base))
