"""The errors of a worker: one class per kind, with its HTTP status; the message is a sentence for the user.

    WorkerError                 500   the base: catch this to catch all of ours
    ├── BadRequest              400   the request cannot be read; sending it again will not help
    ├── Unauthorized            401   no ticket or token, or none that is valid now
    ├── Forbidden               403   a valid ticket or token, for something else
    ├── NotFound                404   no such model, version, label or path
    ├── WrongMethod             405   the path exists, the method does not
    ├── TooSlow                 408   the body did not arrive in time
    ├── TooLarge                413   larger than a limit; the sentence names the limit and its flag
    ├── NotAnImage              415   not one of the image types taken here
    ├── WrongWorker             421   another process answers at this address now: look up again
    ├── WrongHost               421   the request names a host that this worker is not known by
    ├── Busy                    503   no room, no time or no model yet: ask again later, or another worker
    │   └── QuotaUsedUp         429   the caller asks for more than its quota
    ├── DeadlinePassed          504   the caller's time ran out before the prediction did
    ├── ModelError              500   the model cannot be loaded, or its output is invalid: no fault of the request
    │   └── OutOfMemory         500   the memory of the device does not suffice for as many images at once
    └── RetrainError            500   photos from which no model can be trained; only `p2p retrain` raises it

The user sees the message as it is, so it names the cause and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class WorkerError(Exception):
    """Base of all errors that a worker answers with; `status` is the HTTP status that it means."""

    status: ClassVar[int] = 500


class BadRequest(WorkerError):
    """The request, or the image in it, cannot be read."""

    status = 400


class Unauthorized(WorkerError):
    """The request carries no permission that is valid; `error` names the fault of one that is not (RFC 6750)."""

    status = 401

    def __init__(self, sentence: str, *, error: str = "") -> None:
        super().__init__(sentence)
        self.challenge = 'Bearer realm="p2p"' + (f', error="{error}"' if error else "")


class Forbidden(WorkerError):
    """The request's permission is valid, and not for this."""

    status = 403


class NotFound(WorkerError):
    """No such model, version, label or path."""

    status = 404


class WrongMethod(WorkerError):
    """The path exists, the method does not; `allow` names those that do."""

    status = 405

    def __init__(self, sentence: str, *, allow: Iterable[str]) -> None:
        super().__init__(sentence)
        self.allow = tuple(sorted(allow))


class TooSlow(WorkerError):
    """The body did not arrive in time."""

    status = 408


class TooLarge(WorkerError):
    """Larger than a limit of this worker."""

    status = 413


class NotAnImage(WorkerError):
    """Not one of the image types taken here."""

    status = 415


class WrongWorker(WorkerError):
    """Another process than the one that was looked up answers at this address."""

    status = 421


class WrongHost(WorkerError):
    """The request names a host that this worker is not known by."""

    status = 421


class Busy(WorkerError):
    """The queue or the memory is full, the deadline could not be met, or the model is being loaded.

    Asking again makes sense after `retry_after_s` seconds, and asking another worker at once.
    """

    status = 503

    def __init__(self, sentence: str, *, retry_after_s: float) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class QuotaUsedUp(Busy):
    """The caller asks for more than its quota at this worker."""

    status = 429


class DeadlinePassed(WorkerError):
    """The caller's deadline passed before its prediction was ready."""

    status = 504


class ModelError(WorkerError):
    """A model cannot be loaded, or its output is invalid."""

    status = 500


class OutOfMemory(ModelError):
    """The memory of the device that predicts does not suffice for as many images at once."""


class RetrainError(WorkerError):
    """No model can be trained from the photos."""

    status = 500
