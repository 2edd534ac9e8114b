"""Makes a token: a random text for a caller to keep, and the table of the token file that knows only its hash."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Sequence

from registry.security.caller import Role
from registry.security.tokens.token_file import parse_tokens

RANDOM_BYTES = 32

_BARE = re.compile(r"[A-Za-z0-9_-]+")  # what TOML takes as a key without quotation marks


def new_token(name: str, *, roles: Sequence[Role], services: Sequence[str] | None = None) -> tuple[str, str]:
    """A fresh token, and the table to add to a token file. Raises SettingsError for a name that cannot be used."""
    token = secrets.token_urlsafe(RANDOM_BYTES)
    lines = [
        f"[{name if _BARE.fullmatch(name) else json.dumps(name)}]",
        f'token_sha256 = "{hashlib.sha256(token.encode()).hexdigest()}"',
        f"roles = {json.dumps([str(role) for role in roles])}",
    ]
    if services:
        lines.append(f"services = {json.dumps(list(services))}")
    table = "\n".join(lines) + "\n"
    parse_tokens(table)
    return token, table
