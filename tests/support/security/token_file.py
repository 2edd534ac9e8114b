"""A token file for tests: callers of each kind, with tokens that no other text contains."""

from __future__ import annotations

from pathlib import Path

CLIENT, OPERATOR, OF_CATS, SLOW = "client-token-5up3r", "operator-token-5up3r", "cats-token-5up3r", "slow-token-5up3r"

TABLES = f"""
[alice]
token = "{CLIENT}"

[olga]
token = "{OPERATOR}"
roles = ["operator"]

[carl]
token = "{OF_CATS}"
services = ["cats"]

[sam]
token = "{SLOW}"
rate = 2
"""


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def write_tokens(folder: Path, text: str = TABLES) -> Path:
    path = folder / "tokens.toml"
    path.touch(mode=0o600)
    path.write_text(text)
    return path
