"""What can go wrong in a call: each error says in a sentence what is the cause and what to do about it.

    P2PError
    ├── LookupUnavailable      the lookup service cannot be reached, or answers with a server error
    ├── NoWorker               no worker of the service is healthy at present
    ├── UnknownService         the lookup service knows no service of this name
    ├── AuthenticationError    a server does not accept the token, or wants one (401, 403)
    ├── BadInput               the worker cannot use what it was sent, which is not sent again
    │   └── BadImage           the worker cannot decode the image (400, 415)
    │       └── ImageTooLarge  the image is larger than the worker's limit (413)
    ├── WorkerFailed           every worker that was asked was gone, refused, or was overloaded
    ├── DeadlineExceeded       no answer within the time given to the call; a TimeoutError, too
    ├── ProtocolError          an answer that breaks the contract: the address is wrong, most likely
    └── ClientClosed           the client was closed before or during the call

A path that cannot be read raises OSError, as `open` does. Arguments that are invalid raise ValueError or TypeError.
"""

from __future__ import annotations


class P2PError(Exception):
    """The base of all errors of this package.

    `status` is the HTTP status that was answered, if any; `worker` the `host:port` that it concerns, if any.
    `attempts` counts the requests that the call made to workers, refused connections included, and `lookups` its
    questions to the lookup service that were not answered with a worker. `request_id` is the id of the call, which
    the logs of the servers that it asked may hold; "" where the error is of no call.
    """

    def __init__(
        self,
        sentence: str,
        *,
        status: int | None = None,
        worker: str | None = None,
        attempts: int = 0,
        lookups: int = 0,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.worker = worker
        self.attempts = attempts
        self.lookups = lookups
        self.request_id = ""

    def __str__(self) -> str:
        counts = {"attempts": self.attempts, "lookups": self.lookups}
        shown = ", ".join(f"{count} {name}" for name, count in counts.items() if count > 1)
        return f"{self.args[0]} ({shown})" if shown else str(self.args[0])


class LookupUnavailable(P2PError):
    """The lookup service, or Consul in its place, cannot be reached or cannot answer."""


class NoWorker(P2PError):
    """No worker of the service is healthy at present."""


class UnknownService(P2PError):
    """The lookup service knows no service of this name."""


class AuthenticationError(P2PError):
    """A lookup service, Consul or a worker refuses the token or wants one: 401 or 403."""


class BadInput(P2PError):
    """The worker says that what it was sent is at fault; another worker would say the same."""


class BadImage(BadInput):
    """The worker says that the image itself is at fault; another worker would say the same."""


class ImageTooLarge(BadImage):
    """The image is larger than the worker accepts."""


class WorkerFailed(P2PError):
    """The last worker that was asked could not be reached, or answered that it cannot serve."""


class DeadlineExceeded(P2PError, TimeoutError):
    """The time given to the call ran out before there was an answer."""


class ProtocolError(P2PError):
    """A server answered, but not as a lookup service, Consul or a worker does."""


class ClientClosed(P2PError):
    """The client was closed before or during the call."""
