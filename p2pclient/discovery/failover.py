"""One question to any of several servers that all know the answer: the one that answers is asked first next time."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence

from yarl import URL

from p2pclient import timeouts
from p2pclient.discovery.address import shown
from p2pclient.errors import AuthenticationError, LookupUnavailable
from p2pclient.failures import Failure, Trouble
from p2pclient.messages import Answer
from p2pclient.transport.base import ExchangeFailed, Transport
from p2pclient.transport.request_id import request_id_header

Refusal = Callable[[Answer, str], Failure]


class Failover:
    """The servers at these base URLs. `refusal` says what an answer means that is not accepted."""

    def __init__(self, transport: Transport, urls: Sequence[URL], headers: Mapping[str, str], refusal: Refusal) -> None:
        self._transport = transport
        self._bases = [(str(url).rstrip("/"), shown(url)) for url in urls]
        self._headers = headers
        self._refusal = refusal

    async def ask(
        self, path: str, *, limit_s: float, waits: bool = False, accepts: Collection[int] = (200,)
    ) -> tuple[Answer, str]:
        """An answer with a status that is one of `accepts`, and the address for people of the first server with one.

        A server that does not answer within a second is passed over, unless it `waits` because it was asked to. Raises
        Failure.
        """
        until_s = time.monotonic() + limit_s
        failure: Failure | None = None
        for others, base in zip(reversed(range(len(self._bases))), tuple(self._bases), strict=True):
            left_s = max(0.0, until_s - time.monotonic())
            turn_s = left_s if others == 0 or waits else min(timeouts.LOOKUP_TURN_S, left_s / 2)
            try:
                answer = await self._ask_one(base, path, turn_s, accepts)
            except Failure as refused:
                if refused.trouble is Trouble.FINAL:
                    raise
                if failure is None or failure.trouble is Trouble.NO_LOOKUP:
                    failure = refused.with_traceback(None)
                continue
            self._bases.remove(base)
            self._bases.insert(0, base)
            return answer, base[1]
        assert failure is not None, "there is at least one server"
        raise failure

    async def _ask_one(self, base: tuple[str, str], path: str, limit_s: float, accepts: Collection[int]) -> Answer:
        url, address = URL(base[0] + path, encoded=True), base[1]
        try:
            headers = {**self._headers, **request_id_header()}
            answer = await self._transport.exchange("GET", url, headers=headers, timeout_s=limit_s)
        except ExchangeFailed as failed:
            error = unreachable(address, str(failed))
            raise Failure(Trouble.NO_LOOKUP, error, silent_s=failed.silent_s) from failed
        if answer.status not in accepts:
            raise self._refusal(answer, address)
        return answer


def unreachable(address: str, why: str, *, status: int | None = None) -> LookupUnavailable:
    """The error of a lookup service, or of Consul in its place, that could not be asked."""
    return LookupUnavailable(
        f"no lookup service at {address}: {why}; start one (p2p up) or name the right address", status=status
    )


def denied(server: str, answer: Answer, *, hint: str) -> Failure:
    """The failure of a server that does not accept the token, or wants one (401, 403)."""
    sentence = f"{server} refused ({answer.status} {answer.sentence()}): {hint}"
    return Failure(Trouble.FINAL, AuthenticationError(sentence, status=answer.status))
