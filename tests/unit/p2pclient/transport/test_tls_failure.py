"""What a client says of TLS that failed."""

from __future__ import annotations

import pytest

from p2pclient.transport.tls_failure import tls_failure


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "Cannot connect to host h:1 ssl:True [SSLCertVerificationError: (1, '[SSL: CERTIFICATE_VERIFY_FAILED] "
            "certificate verify failed: self-signed certificate (_ssl.c:1006)')]",
            "its certificate is not trusted: self-signed certificate",
        ),
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: IP address mismatch, certificate is not valid "
            "for '127.0.0.1'. (_ssl.c:1006)",
            "not valid for '127.0.0.1'",
        ),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "it does not speak TLS: try http://"),
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] certificate required", "it asks for a client's certificate"),
        ("[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca (_ssl.c:2580)", "it does not accept our certificate"),
        ("[SSL: SOMETHING_NEW] something new", "[SSL: SOMETHING_NEW] something new"),
    ],
)
def test_the_cause_is_named(text: str, says: str) -> None:
    """Each in a clause that begins alike and says what to do about it."""
    found = tls_failure(text)
    assert found is not None
    assert found.startswith("TLS failed (")
    assert says in found
    assert "\n" not in found


@pytest.mark.parametrize("text", ["", "Connection reset by peer", "Cannot connect to host h:1 ssl:default [refused]"])
def test_other_failures_are_not_of_tls(text: str) -> None:
    """They are told in the system's words elsewhere."""
    assert tls_failure(text) is None
