"""What Consul's key/value store says of a ticket key: its public half as a JWK (RFC 8037), or its end. Pure.

p2p-serving/ticket-keys/KID   {"kty": "OKP", "crv": "Ed25519", "x": ..., "kid": ..., "by": host, "created": seconds}
                              {"kid": ..., "by": host, "revoked": seconds}
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PREFIX = "p2p-serving/ticket-keys/"

_KEY_ID_DIGITS = 24  # 96 bits of the thumbprint


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A key with which tickets may be checked: made by the host `by` at `created_s`, in seconds since 1970."""

    key_id: str
    public: Ed25519PublicKey
    by: str
    created_s: float


@dataclass(frozen=True, slots=True)
class RevokedKey:
    """A key that must not be used any more, by nobody, since `revoked_s`."""

    key_id: str
    by: str
    revoked_s: int


def key_id_of(public: Ed25519PublicKey) -> str:
    """The id of a key: the start of its thumbprint (RFC 7638), in hexadecimal, which no command takes for an option."""
    jwk = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": _encoded(public.public_bytes_raw())}, separators=(",", ":"))
    return sha256(jwk.encode()).hexdigest()[:_KEY_ID_DIGITS]


def written(entry: PublishedKey | RevokedKey) -> bytes:
    """The value under which the entry is published."""
    if isinstance(entry, RevokedKey):
        return json.dumps({"kid": entry.key_id, "by": entry.by, "revoked": entry.revoked_s}).encode()
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": _encoded(entry.public.public_bytes_raw())}
    return json.dumps(jwk | {"kid": entry.key_id, "by": entry.by, "created": entry.created_s}).encode()


def read(key_id: str, value: bytes) -> PublishedKey | RevokedKey:
    """The entry with this value under this id. Raises ValueError where it is neither a key with that id nor revoked."""
    try:
        found: Any = json.loads(value)
        by = str(found.get("by", ""))
        if "revoked" in found:
            return RevokedKey(key_id, by, int(found["revoked"]))
        if (found["kty"], found["crv"]) != ("OKP", "Ed25519"):
            raise ValueError("it is no Ed25519 key")
        public = Ed25519PublicKey.from_public_bytes(_decoded(found["x"]))
        entry = PublishedKey(key_id, public, by, float(found.get("created", 0)))
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("it has not the form of a key") from error
    if key_id_of(public) != key_id:
        raise ValueError("its name is not that of the key in it")
    return entry


def _encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
