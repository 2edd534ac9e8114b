"""Public keys in Consul: what is written is read; what is not a key of that name is not taken for one."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from registry.security.tickets.key_folder import new_key
from registry.security.tickets.public_key import PublishedKey, RevokedKey, key_id_of, read, written

KEY = new_key(1_000)
PUBLISHED = PublishedKey(KEY.key_id, KEY.private.public_key(), "lookup-1", 1_000)


def test_a_published_key_is_a_jwk_without_its_private_half() -> None:
    value = written(PUBLISHED)
    jwk = json.loads(value)
    assert jwk.keys() == {"kty", "crv", "x", "kid", "by", "created"}
    assert (jwk["kty"], jwk["crv"], jwk["by"], jwk["created"]) == ("OKP", "Ed25519", "lookup-1", 1_000)
    found = read(KEY.key_id, value)
    assert isinstance(found, PublishedKey)
    assert key_id_of(found.public) == found.key_id == KEY.key_id


def test_a_key_id_is_hexadecimal() -> None:
    """`p2p keys revoke KID` must never take an id for an option, as it would one that begins with a dash."""
    assert all(re.fullmatch("[0-9a-f]{24}", new_key(0).key_id) for _ in range(50))


def test_a_revoked_key_is_read_as_one() -> None:
    revoked = RevokedKey(KEY.key_id, "lookup-1", 2_000)
    assert read(KEY.key_id, written(revoked)) == revoked


@pytest.mark.parametrize(
    "change",
    [{"kty": "oct"}, {"crv": "Ed448"}, {"x": ""}, {"x": "AAAA"}, {"x": 5}, {"x": None}, {"created": "soon"}],
)
def test_a_value_that_is_no_such_key_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  every refusal has its own words
        read(KEY.key_id, json.dumps(json.loads(written(PUBLISHED)) | change).encode())


@pytest.mark.parametrize("value", [b"", b"null", b"[]", b"5", b"\xff", b"{}", b'{"revoked": "x"}', b"[" * 100_000])
def test_other_values_are_refused(value: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  every refusal has its own words
        read(KEY.key_id, value)


def test_a_key_under_the_name_of_another_is_refused() -> None:
    with pytest.raises(ValueError, match="its name is not that of the key"):
        read(new_key(0).key_id, written(PUBLISHED))
