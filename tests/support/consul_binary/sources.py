"""Where this machine gets Debian packages from: apt's sources files in, a mirror's address out. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<components>.*)")
_KEYRING = "debian-archive-keyring"


@dataclass(frozen=True, slots=True)
class Source:
    """One entry: an archive's address, one of its suites, and the keyring it names, if any."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""


def read_list(text: str) -> Iterator[Source]:
    """The entries of a one-line sources file ("deb [options] URI suite component...")."""
    for line in text.splitlines():
        found = _ONE_LINE.fullmatch(line.partition("#")[0].strip())
        if found:
            options = dict(option.split("=", 1) for option in (found["options"] or "").split() if "=" in option)
            components = tuple(found["components"].split())
            yield Source(found["uri"], found["suite"], components, options.get("signed-by", ""))


def read_deb822(text: str) -> Iterator[Source]:
    """The entries of a deb822 sources file: stanzas of fields; Types, URIs and Suites may list several."""
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", "\n".join(lines)):
        fields = _fields(stanza)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        components = tuple(fields.get("components", "").split())
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(uri, suite, components, fields.get("signed-by", ""))


def _fields(stanza: str) -> dict[str, str]:
    """A stanza's fields by lower-case name; a line that starts with a blank belongs to the field before it."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line[:1].isspace():
            fields[name] = f"{fields.get(name, '')} {line.strip()}"
        else:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def debian_mirror(sources: Iterable[Source]) -> str | None:
    """The address of the Debian archive among the sources, or None.

    It is the one whose path ends in "/debian", else one that names Debian's keyring and is not for
    security updates only.
    """
    usable = [source for source in sources if urlsplit(source.uri).scheme in ("http", "https")]
    for source in usable:
        if urlsplit(source.uri).path.rstrip("/").endswith("/debian"):
            return source.uri
    for source in usable:
        if _KEYRING in source.signed_by and "main" in source.components and "security" not in source.suite:
            return source.uri
    return None
