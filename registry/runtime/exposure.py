"""Warns of a port that other machines reach: without TLS, or without TLS and tokens."""

from __future__ import annotations

import ipaddress
import logging

logger = logging.getLogger(__name__)


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def warn_if_exposed(host: str, *, tls: bool, tokens: bool) -> None:
    """Log the sentence of `exposure` where there is one."""
    sentence = exposure(host, tls=tls, tokens=tokens)
    if sentence is not None:
        logger.warning(sentence)


def exposure(host: str, *, tls: bool, tokens: bool) -> str | None:
    """The sentence to warn with when a server listens on `host`; None where there is nothing to say.

    `tls`: it speaks TLS. `tokens`: it asks clients for a token or a ticket.
    """
    if is_loopback(host) or tls:
        return None
    where = f"It listens on {host or '0.0.0.0'}"
    if tokens:
        return (
            f"{where} without TLS: whoever can read the network's traffic reads the tokens and the images. Give "
            "--tls-cert and --tls-key."
        )
    return (
        f"{where} without TLS and without tokens: every machine that reaches this port may use it, and the traffic can "
        "be read. Give --tls-cert and --tls-key, and --tokens, or listen on 127.0.0.1."
    )
