"""Reads the token file as a lookup service and a worker do."""

from __future__ import annotations

import stat
from pathlib import Path

from deploy.doctor.findings.token_file import TokenFileFacts
from registry.runtime.errors import SettingsError
from registry.security.tokens.token_file import parse_tokens


def token_file_facts(path: Path) -> TokenFileFacts:
    """The facts; no token is kept."""
    try:
        open_to_others = bool(stat.S_IMODE(path.stat().st_mode) & 0o007)
        tokens = parse_tokens(path.read_text(encoding="utf-8"))
    except OSError as error:
        return TokenFileFacts(str(path), fault=f"It cannot be read: {error.strerror}.")
    except UnicodeDecodeError:
        return TokenFileFacts(str(path), fault="It is not text.")
    except SettingsError as error:
        return TokenFileFacts(str(path), fault=str(error), open_to_others=open_to_others)
    return TokenFileFacts(str(path), len(tokens.names), open_to_others=open_to_others)
