"""Awaits py-consul's calls: its errors, and statuses other than 200, become ours, each with a sentence."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import consul
from consul.base import Response

from registry.backend.errors import Forgotten
from registry.consul.errors import ConsulRefused, ConsulUnavailable, TokenRefused

MALFORMED = (LookupError, TypeError, ValueError, AttributeError, RecursionError)
"""What reading raises where an answer is not of Consul's form; the last one for JSON nested too deep."""


async def awaited(call: Awaitable[Any], url: str) -> Any:
    """The result of a py-consul call to the agent at `url`. Raises a RegistryError in place of py-consul's errors."""
    try:
        return await call
    except consul.NotFound as error:
        raise Forgotten(f"Consul at {url}: {error}") from error
    except consul.exceptions.ACLDisabled as error:  # py-consul's name for every 401
        raise TokenRefused(
            f"Consul at {url} refused: {_error_text(error)}. Give a name and password, as name:password, in "
            "CONSUL_HTTP_AUTH, or a token in CONSUL_HTTP_TOKEN."
        ) from error
    except consul.ACLPermissionDenied as error:
        raise TokenRefused(
            f"Consul at {url} refused: {_error_text(error)}. Give a token with the right to do this in "
            "CONSUL_HTTP_TOKEN."
        ) from error
    except (consul.exceptions.BadRequest, consul.exceptions.ClientError) as error:
        # 429 is Consul asking for patience, not a refusal.
        kind = ConsulUnavailable if str(error).startswith("429") else ConsulRefused
        raise kind(f"Consul at {url} refused: {_error_text(error)}.") from error
    except consul.ConsulException as error:
        if "nknown check" in str(error) or "does not have associated TTL" in str(error):
            raise Forgotten(f"Consul at {url}: {error}") from error
        raise ConsulUnavailable(f"Consul at {url} could not answer: {_error_text(error)}.") from error
    except MALFORMED as error:
        raise ConsulUnavailable(f"What answers at {url} does not speak as Consul: {error!r}.") from error


def read_json(response: Response) -> Any:
    """The JSON of a 200; any other status becomes an error of py-consul's."""
    return read_text(response, json.loads)


def read_text(response: Response, read: Callable[[str], Any]) -> Any:
    """The result of `read` for the text of a 200; any other status becomes an error of py-consul's."""
    if response.code == 401:
        raise consul.exceptions.ACLDisabled(f"401 {response.body[:200]}")
    if response.code == 403:
        raise consul.ACLPermissionDenied(response.body)
    if response.code == 429 or response.code >= 500:
        raise consul.ConsulException(f"{response.code} {response.body[:200]}")
    if response.code != 200:
        raise consul.exceptions.BadRequest(f"{response.code} {response.body[:200]}")
    try:
        return read(response.body)
    except ValueError as error:
        raise consul.ConsulException(f"its answer is not JSON: {error}") from error


def _error_text(error: Exception) -> str:
    """Consul's error text on one line, as a part of a sentence."""
    return " ".join(str(error).split()).rstrip(".")
