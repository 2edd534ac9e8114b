"""Step one of a call: a service's name goes to the lookup service, workers in rotation order come back.

    GET /next                   one worker of the default service
    GET /next/{service}         one worker of this service
    ?count=N                    N different workers
with `Accept: application/json`. 503: no healthy worker now; 404: no such service.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from yarl import URL

from p2pclient.errors import LookupUnavailable, NoWorker, P2PError, ProtocolError, UnknownService
from p2pclient.retry import Failure, Trouble
from p2pclient.types import Worker
from p2pclient.wire import Answer, Broken, Wire

DEFAULT_PORT = 12480
_HEADERS = {"Accept": "application/json"}


def registry_url(registry: str) -> URL:
    """The base URL that `registry` names: "host", "host:port" or a whole http(s) URL.

    A bare host means port 12480; a URL means what it says. Raises ValueError if it is neither.
    """
    bare = "://" not in registry
    try:
        url = URL(f"http://{registry}" if bare else registry)
        URL.build(scheme=url.scheme, host=url.host or "")  # stricter than parsing: refuses blanks
    except ValueError:
        url = URL()
    usable = url.scheme in ("http", "https") and url.host and not url.query_string and not url.fragment
    if not usable:
        raise ValueError(f"{registry!r} is no address of a lookup service: give http://HOST:PORT or HOST:PORT")
    return url.with_port(DEFAULT_PORT) if bare and url.explicit_port is None else url


class Lookup:
    """The lookup service at one address."""

    def __init__(self, registry: str) -> None:
        url = registry_url(registry)
        self._base = str(url).rstrip("/")
        self._shown = str(url.with_user(None)).rstrip("/")

    async def ask(self, wire: Wire, service: str | None, *, count: int | None, limit_s: float) -> list[Worker]:
        """The next worker in rotation or, with `count`, up to that many different ones; never none.

        Raises Failure: NO_LOOKUP, NO_WORKER, or FINAL if asking again is of no use.
        """
        path = "/next" if service is None else f"/next/{quote(service, safe='')}"
        query = "" if count is None else f"?count={count}"
        try:
            answer = await wire.exchange("GET", f"{self._base}{path}{query}", headers=_HEADERS, limit_s=limit_s)
        except Broken as broken:
            raise Failure(Trouble.NO_LOOKUP, self._unreachable(str(broken))) from broken
        if answer.status != 200:
            raise self._refusal(answer)
        try:
            return _workers(answer.json(), many=count is not None)
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise Failure(Trouble.FINAL, self._stranger(answer)) from error

    def _refusal(self, answer: Answer) -> Failure:
        said = answer.sentence()
        if answer.status == 503:
            no_worker = NoWorker(said or "no worker is healthy just now: start one", status=503)
            return Failure(Trouble.NO_WORKER, no_worker, retry_after_s=answer.retry_after_s)
        if answer.status == 404 and not answer.html:
            return Failure(Trouble.FINAL, UnknownService(said or "no such service", status=404))
        if answer.status >= 500 or answer.status == 429:
            error = self._unreachable(f"it answered {answer.status}: {said}", answer.status)
            return Failure(Trouble.NO_LOOKUP, error, retry_after_s=answer.retry_after_s)
        return Failure(Trouble.FINAL, self._stranger(answer))

    def _unreachable(self, why: str, status: int | None = None) -> P2PError:
        return LookupUnavailable(
            f"no lookup service at {self._shown}: {why}; start one (p2p up) or name the right address",
            status=status,
        )

    def _stranger(self, answer: Answer) -> P2PError:
        return ProtocolError(
            f"{self._shown} does not answer as a lookup service does ({answer.status} {answer.sentence()!r}):"
            " is the address right?",
            status=answer.status,
        )


def _workers(found: Any, *, many: bool) -> list[Worker]:
    """The answer's workers; raises ValueError, TypeError or KeyError if it holds none."""
    workers = [_worker(entry) for entry in (found if many else [found])]
    if not workers:
        raise ValueError("an empty list")
    return workers


def _worker(entry: dict[str, Any]) -> Worker:
    texts = [entry["service"], entry["id"], entry["host"], entry.get("version", ""), entry.get("boot", "")]
    port = entry["port"]
    if not all(isinstance(text, str) for text in texts) or type(port) is not int:
        raise TypeError("a field of the wrong type")
    service, name, host, version, boot = texts
    if not 0 < port < 65536:
        raise ValueError("no such port")
    URL.build(scheme="http", host=host, port=port)  # raises ValueError where no request could be sent
    return Worker(service, name, host, port, version, boot)
