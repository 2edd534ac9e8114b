"""What `p2p keys` does: makes a new ticket key for this host, shows all keys, revokes one; each says so in text."""

from __future__ import annotations

import time
from pathlib import Path

from registry.consul.key_value import KeyValue
from registry.runtime.errors import SettingsError
from registry.security.tickets.key_folder import KeyFolder, new_key
from registry.security.tickets.key_rotation import LEARNING_S
from registry.security.tickets.public_key import PREFIX, PublishedKey, RevokedKey, read
from registry.security.tickets.signing_keys import publish, withdraw

_HEADS = ("key", "state", "host", "since")


async def rotate(store: KeyValue, path: Path) -> str:
    """Make a key that the lookup service with this folder signs with soon. Raises SettingsError, ConsulUnavailable."""
    folder = KeyFolder(path)
    before = folder.load()
    key = new_key(time.time())
    await publish(store, key)
    folder.add(key)
    if not before:
        return f"The key {key.key_id} is made and published: it signs as soon as p2p registry runs with this folder."
    return (
        f"The key {key.key_id} is made and published: it signs in {LEARNING_S} s, in place of {before[-1].key_id}, "
        "whose tickets stay good until they expire."
    )


async def listed(store: KeyValue, path: Path | None) -> str:
    """All keys in Consul, as a table; those in the folder `path` are marked with a star."""
    own = {key.key_id for key in KeyFolder(path).load()} if path is not None else set()
    entries = await store.under(PREFIX)
    if not entries.values:
        return "Consul holds no ticket keys: p2p registry --ticket-keys DIR makes one when it starts."
    rows = [_HEADS, *(_row(key_id, value, own) for key_id, value in sorted(entries.values.items()))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


async def revoke(store: KeyValue, key_id: str) -> str:
    """Let no worker accept what this key has signed. Raises SettingsError for a key that Consul does not hold."""
    entries = await store.under(PREFIX)
    if key_id not in entries.values:
        raise SettingsError(f"Consul holds no ticket key {key_id!a}: p2p keys list shows those that it holds.")
    await withdraw(store, key_id, time.time())
    return f"The key {key_id} is revoked: workers refuse its tickets from now on, and its host makes another one."


def _row(key_id: str, value: bytes, own: set[str]) -> tuple[str, ...]:
    try:
        entry = read(key_id, value)
    except ValueError as error:
        return key_id, f"unusable: {error}", "", ""
    name = f"{key_id} *" if key_id in own else key_id
    match entry:
        case PublishedKey(created_s=since_s):
            state = "valid"
        case RevokedKey(revoked_s=since_s):
            state = "revoked"
    return name, state, _printable(entry.by), time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(since_s))


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)
