"""What can go wrong in a call, each with a sentence that names the cause and the cure.

    P2PError
    ├── LookupUnavailable      the lookup service could not be reached, or answered with a server error
    ├── NoWorker               the lookup service knows of no healthy worker just now
    ├── UnknownService         the lookup service has never heard of this service
    ├── BadInput               the worker cannot use what it was sent: it is not sent again
    │   └── BadImage           it cannot decode the image (400, 415)
    │       └── ImageTooLarge  the image is over its limit (413)
    ├── WorkerFailed           no worker that was tried could answer: gone, refusing, overloaded
    ├── DeadlineExceeded       no answer within the time given to the call
    ├── ProtocolError          an answer that is not what the contract says: most likely a wrong address
    └── ClientClosed           the client was closed before or during the call

A path that cannot be read raises OSError, as `open` does.
"""

from __future__ import annotations


class P2PError(Exception):
    """The base of all errors of this package.

    `status` is the HTTP status that was answered, if any; `worker` the `host:port` it concerns, if any;
    `attempts` how many times the request (or, where no worker was found, the lookup) was tried.
    """

    def __init__(
        self, sentence: str, *, status: int | None = None, worker: str | None = None, attempts: int = 0
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.worker = worker
        self.attempts = attempts

    def __str__(self) -> str:
        sentence = str(self.args[0])
        return f"{sentence} ({self.attempts} attempts)" if self.attempts > 1 else sentence


class LookupUnavailable(P2PError):
    """The lookup service cannot be reached or cannot answer."""


class NoWorker(P2PError):
    """No worker of the service is healthy at present."""


class UnknownService(P2PError):
    """The lookup service knows no service of this name."""


class BadInput(P2PError):
    """The worker says that what it was sent is at fault; another worker would say the same."""


class BadImage(BadInput):
    """The worker says that the image itself is at fault; another worker would say the same."""


class ImageTooLarge(BadImage):
    """The image is larger than the worker takes."""


class WorkerFailed(P2PError):
    """The last worker that was tried could not be reached, or answered that it cannot serve."""


class DeadlineExceeded(P2PError):
    """Time ran out before there was an answer."""


class ProtocolError(P2PError):
    """What answered does not speak as a lookup service or a worker does."""


class ClientClosed(P2PError):
    """The client was used after it was closed."""
