"""Mutations of a signed ticket, of which none may be accepted: changed bytes, claims, headers, algorithms, keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import string
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ALPHABET = string.ascii_letters + string.digits + "-_"
_ODD = "\x00\n\r =+/.%\u00e9\u2028\U0001f600"
_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**70, 1e300, "", "x", "classify", [], ["classify"], {}, {"a": 1}, "p2p-registry",
    4102444800, "4102444800",
]  # fmt: skip
_CLAIMS = (
    "iss", "sub", "aud", "iat", "nbf", "exp", "wid", "max_body", "max_requests", "jti", "deadline_s", "rate",
    "concurrency", "admin",
)  # fmt: skip
_ALGORITHMS = ("none", "None", "", "HS256", "HS512", "RS256", "ES256", "EdDSA ", "eddsa", "Ed448", "Ed25519", None, 1)


class TicketMutations:
    """An endless source of texts that differ from `ticket`, which the key with the public half `public` has signed."""

    def __init__(self, ticket: str, public: Ed25519PublicKey, chance: random.Random) -> None:
        self._ticket = ticket
        self._parts = ticket.split(".")
        self._public = public.public_bytes_raw()
        self._chance = chance
        self._stranger = Ed25519PrivateKey.generate()
        self._kinds: tuple[Callable[[], str], ...] = (
            self._character, self._removed, self._inserted, self._cut, self._bit, self._claim, self._header,
            self._confused, self._foreign, self._rearranged, self._padded,
        )  # fmt: skip

    def next(self) -> str:
        """The next text; never the ticket itself."""
        while True:
            text = self._chance.choice(self._kinds)()
            if text != self._ticket:
                return text

    def _character(self) -> str:
        place = self._chance.randrange(len(self._ticket))
        return self._ticket[:place] + self._chance.choice(_ALPHABET + _ODD) + self._ticket[place + 1 :]

    def _removed(self) -> str:
        place, count = self._chance.randrange(len(self._ticket)), self._chance.choice((1, 1, 2, 3, 4, 8))
        return self._ticket[:place] + self._ticket[place + count :]

    def _inserted(self) -> str:
        place = self._chance.randrange(len(self._ticket) + 1)
        more = "".join(self._chance.choices(_ALPHABET + _ODD, k=self._chance.choice((1, 1, 2, 4, 3000))))
        return self._ticket[:place] + more + self._ticket[place:]

    def _cut(self) -> str:
        start = self._chance.randrange(len(self._ticket))
        return self._chance.choice((self._ticket[:start], self._ticket[start:]))

    def _bit(self) -> str:
        number = self._chance.randrange(3)
        raw = bytearray(_decoded(self._parts[number]))
        raw[self._chance.randrange(len(raw))] ^= 1 << self._chance.randrange(8)
        return self._with(number, _encoded(bytes(raw)))

    def _claim(self) -> str:
        return self._with(1, _encoded(json.dumps(self._changed_claims()).encode()))

    def _header(self) -> str:
        header = json.loads(_decoded(self._parts[0]))
        name = self._chance.choice(("alg", "kid", "typ", "jwk", "jku", "x5c", "crit", "b64", "cty", "zip"))
        header[name] = self._chance.choice([*_VALUES, "../../etc/passwd", {"kty": "OKP", "crv": "Ed25519", "x": ""}])
        return self._with(0, _encoded(json.dumps(header).encode()))

    def _confused(self) -> str:
        """Another algorithm: an HMAC whose secret is the public key, which everybody may know, or no signature."""
        header = json.loads(_decoded(self._parts[0])) | {"alg": self._chance.choice(_ALGORITHMS)}
        signed = f"{_encoded(json.dumps(header).encode())}.{self._some_claims()}"
        secret = self._chance.choice((self._public, _encoded(self._public).encode(), b""))
        signature = hmac.new(secret, signed.encode(), self._chance.choice((hashlib.sha256, hashlib.sha512))).digest()
        return f"{signed}.{self._chance.choice((_encoded(signature), '', self._parts[2], _encoded(bytes(64))))}"

    def _foreign(self) -> str:
        """A right signature of another key, under the known key's id or an own one, with or without that key in it."""
        header = json.loads(_decoded(self._parts[0]))
        public = _encoded(self._stranger.public_key().public_bytes_raw())
        header |= self._chance.choice(
            ({}, {"kid": "other"}, {"kid": None}, {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": public}})
        )
        signed = f"{_encoded(json.dumps(header).encode())}.{self._some_claims()}"
        return f"{signed}.{_encoded(self._stranger.sign(signed.encode()))}"

    def _rearranged(self) -> str:
        parts = [self._chance.choice((*self._parts, "", "e30")) for _ in range(self._chance.choice((1, 2, 3, 3, 4, 5)))]
        return ".".join(parts)

    def _padded(self) -> str:
        number = self._chance.randrange(3)
        return self._with(number, self._parts[number] + self._chance.choice(("=", "==", "A", "AA", "\n", " ", "%3D")))

    def _some_claims(self) -> str:
        if self._chance.random() < 0.5:
            return self._parts[1]
        return _encoded(json.dumps(self._changed_claims()).encode())

    def _changed_claims(self) -> dict[str, Any]:
        claims: dict[str, Any] = json.loads(_decoded(self._parts[1]))
        name = self._chance.choice(_CLAIMS)
        if name in claims and self._chance.random() < 0.2:
            del claims[name]
        else:
            claims[name] = self._chance.choice(_VALUES)
        return claims

    def _with(self, number: int, part: str) -> str:
        return ".".join((*self._parts[:number], part, *self._parts[number + 1 :]))


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
