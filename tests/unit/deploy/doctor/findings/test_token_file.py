"""What a token file's state means."""

from __future__ import annotations

from deploy.doctor.finding import Level, worst
from deploy.doctor.findings.token_file import TokenFileFacts, findings


def test_the_token_file() -> None:
    """Usable and private; readable by all is a warning, unusable an error."""
    assert worst(findings(TokenFileFacts("t", 2))) is Level.OK
    assert worst(findings(TokenFileFacts("t", 1, open_to_others=True))) is Level.WARNING
    assert worst(findings(TokenFileFacts("t", fault="It is not TOML."))) is Level.ERROR
