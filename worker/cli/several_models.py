"""What `--model PATH` or `--model NAME=PATH`, repeated, and `--service` mean together: which models, by which names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from registry.runtime.errors import SettingsError

SERVICE = "classify"

_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)=(.+)")


def named_models(models: Sequence[Path], *, service: str | None) -> Sequence[tuple[str, Path | None]]:
    """Each model's name, which is its service's, and its path; None for the default model.

    What stands before the first = is a name unless a / is in it: a path like that is written out from /. Raises
    SettingsError for names that are missing or given twice.
    """
    if not models:
        return [(service or SERVICE, None)]
    split = [_NAMED.fullmatch(str(model)) for model in models]
    named = [(match[1], Path(match[2])) for match in split if match]
    if len(models) == 1 and not named:
        return [(service or SERVICE, models[0])]
    if len(named) < len(models):
        nameless = next(model for model, match in zip(models, split, strict=True) if not match)
        raise SettingsError(f"Several models need names: write --model NAME=PATH for {nameless}.")
    if service is not None:
        raise SettingsError(f"The name of {named[0][1]} is given twice: leave out --service or {named[0][0]}=.")
    names = [name for name, _ in named]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SettingsError(f"Two models are called {twice}: each needs a name of its own, for its service.")
    return named


def refuse_for_several(own: Sequence[object], *, port: int, count: int) -> None:
    """SettingsError where one model's own flags (`own`, None where not given) are given with several models.

    Each model's `model.toml` says such things. Also where the ports after `port` do not suffice.
    """
    if any(value is not None for value in own):
        raise SettingsError(
            "With several models, --graph, --labels and the flags about layers and pixels cannot tell which is "
            "meant: write model.toml and labels.txt into each model's folder."
        )
    if port and port + count - 1 > 65535:
        raise SettingsError(f"--port {port} leaves no ports for {count} models: choose a lower one, or 0.")
