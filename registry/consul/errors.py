"""The errors of calls to Consul, each with a sentence that names the cause and what to do.

registry.backend.errors
├── BackendUnavailable
│   └── ConsulUnavailable  no answer, or an unusable one (5xx, malformed JSON)
└── BackendRefused
    ├── ConsulRefused      Consul understood and refused: a bad request, an unknown certificate, a wrong password
    └── CredentialsRefused
        └── TokenRefused   (a ConsulRefused, too) the token does not have the right to do this, or does not exist
"""

from __future__ import annotations

from registry.backend.errors import BackendRefused, BackendUnavailable, CredentialsRefused


class ConsulUnavailable(BackendUnavailable):
    """Consul did not answer, or answered with a server error: another try is worthwhile."""


class ConsulRefused(BackendRefused):
    """Consul answered and refused: another try does not help until the request or the set-up has changed."""


class TokenRefused(ConsulRefused, CredentialsRefused):
    """The token lacks the right; an agent that has just started and reaches no server answers the same."""
