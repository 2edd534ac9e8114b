"""Reads the ticket keys of this host's folder, and what Consul holds of all hosts' keys."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from deploy.doctor.findings.ticket_keys import TicketKeyFacts
from registry.consul.errors import ConsulRefused, ConsulUnavailable
from registry.consul.key_value import KeyValue
from registry.consul.settings import ConsulSettings
from registry.runtime.errors import SettingsError
from registry.security.tickets.key_folder import KeyFolder
from registry.security.tickets.public_key import PREFIX, RevokedKey, read


async def ticket_key_facts(folder: Path | None, consul: ConsulSettings | None) -> TicketKeyFacts:
    """The facts; private keys are read and not kept."""
    own, fault = _own(folder)
    name = "" if folder is None else str(folder)
    if consul is None:
        return TicketKeyFacts(name, own, fault, trouble="it does not answer.")
    store = KeyValue(consul)
    try:
        entries = await store.under(PREFIX)
    except (ConsulUnavailable, ConsulRefused) as error:
        return TicketKeyFacts(name, own, fault, trouble=str(error))
    finally:
        await store.close()
    published, revoked, malformed = {}, [], []
    for key_id, value in entries.values.items():
        try:
            entry = read(key_id, value)
        except ValueError:
            malformed.append(key_id)
            continue
        if isinstance(entry, RevokedKey):
            revoked.append(key_id)
        else:
            published[key_id] = entry.by
    return TicketKeyFacts(name, own, fault, published, revoked, malformed)


def _own(folder: Path | None) -> tuple[Collection[str] | None, str]:
    """The ids of the keys in the folder, and why it cannot be used; a folder that does not exist holds none."""
    if folder is None:
        return None, ""
    if not folder.exists():
        return (), ""
    try:
        return [key.key_id for key in KeyFolder(folder).load()], ""
    except SettingsError as error:
        return None, str(error)
