"""Says in words why TLS failed on a connection, and what to do, from the text of OpenSSL's error; pure."""

from __future__ import annotations

import re

from p2pclient.messages import one_line

_NAME = re.compile(r"\[SSL: ([A-Z0-9_]+)\]")
_VERIFICATION = re.compile(r"certificate verify failed: (.*?)\.?(?: \(_ssl\.c:\d+\))?$")

_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")
_CERTIFICATE_WANTED = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE")
_CERTIFICATE_REFUSED = ("ALERT_UNKNOWN_CA", "ALERT_BAD_CERTIFICATE", "ALERT_CERTIFICATE_EXPIRED", "ALERT_DECRYPT_ERROR")


CLOSED = (
    "the connection was closed before any answer, as by a server that wants a client's certificate: TLS(cert=..., "
    "key=...), or P2P_CERT and P2P_KEY of the commands"
)
"""Why a new TLS connection ended: asyncio's servers close it without a word when the client shows no certificate."""


def tls_failure(text: str) -> str | None:
    """Why TLS failed, as a clause; None where `text` is not an error of OpenSSL's."""
    name = _NAME.search(text)
    if name is None:
        return None
    return f"TLS failed ({_cause(name[1], text)})"


def _cause(name: str, text: str) -> str:
    if name == "CERTIFICATE_VERIFY_FAILED":
        found = _VERIFICATION.search(text)
        why = one_line(found[1]) if found else "certificate verify failed"
        return f"its certificate is not trusted: {why}; the authority's file is TLS(ca=...), or P2P_CA of the commands"
    if name in _NOT_TLS:
        return "it does not speak TLS: try http://"
    if name.endswith(_CERTIFICATE_WANTED):
        return "it asks for a client's certificate: TLS(cert=..., key=...), or P2P_CERT and P2P_KEY of the commands"
    if name.endswith(_CERTIFICATE_REFUSED):
        return f"it does not accept our certificate: {one_line(text)}"
    return one_line(text)
