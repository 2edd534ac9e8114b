"""The client library: an image goes in, a `Classification` comes out, whichever worker answers.

    from p2pclient import Client

    with Client("lookup:12480") as client:
        print(client.classify("cat.jpg").best.label)

The names below are imported when they are first used (PEP 562), so that the command line's help does
not load aiohttp.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from p2pclient.async_client import AsyncClient
    from p2pclient.errors import (
        AuthenticationError,
        BadImage,
        BadInput,
        ClientClosed,
        DeadlineExceeded,
        ImageTooLarge,
        LookupUnavailable,
        NoWorker,
        P2PError,
        ProtocolError,
        UnknownService,
        WorkerFailed,
    )
    from p2pclient.options import TLS, Balancing
    from p2pclient.sync_client import Client
    from p2pclient.types import (
        Classification,
        Image,
        Label,
        Panic,
        Pixels,
        Prediction,
        Result,
        Rollout,
        Service,
        Snapshot,
        Tensor,
        UnusableWorker,
        Worker,
    )

    __version__: str

__all__ = [
    "TLS",
    "AsyncClient",
    "AuthenticationError",
    "BadImage",
    "BadInput",
    "Balancing",
    "Classification",
    "Client",
    "ClientClosed",
    "DeadlineExceeded",
    "Image",
    "ImageTooLarge",
    "Label",
    "LookupUnavailable",
    "NoWorker",
    "P2PError",
    "Panic",
    "Pixels",
    "Prediction",
    "ProtocolError",
    "Result",
    "Rollout",
    "Service",
    "Snapshot",
    "Tensor",
    "UnknownService",
    "UnusableWorker",
    "Worker",
    "WorkerFailed",
]

_MODULES = {"AsyncClient": "async_client", "Client": "sync_client", "TLS": "options", "Balancing": "options"} | (
    dict.fromkeys(
        (
            "Classification",
            "Image",
            "Label",
            "Panic",
            "Pixels",
            "Prediction",
            "Result",
            "Rollout",
            "Service",
            "Snapshot",
            "Tensor",
            "UnusableWorker",
            "Worker",
        ),
        "types",
    )
)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES.get(name, 'errors')}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return __all__


def _version() -> str:
    """The version of the distribution; "unknown" where the package was not installed but only put on the path."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("p2p-serving-client")
    except PackageNotFoundError:
        return "unknown"
