"""The errors of calls to a discovery backend, each with a sentence that names the cause and what to do.

RegistryError (registry.runtime.errors)
├── BackendUnavailable     no answer, or an unusable one
├── BackendRefused         the backend understood and refused
│   └── CredentialsRefused the token or the user does not have the right to do this, or does not exist
└── Forgotten              the backend does not know this registration (any more): register again
"""

from __future__ import annotations

from registry.runtime.errors import RegistryError


class BackendUnavailable(RegistryError):
    """The backend did not answer, or could not: another try is worthwhile."""


class BackendRefused(RegistryError):
    """The backend answered and refused: another try does not help until the request or the set-up has changed."""


class CredentialsRefused(BackendRefused):
    """The token or the user lacks the right, or is not known."""


class Forgotten(RegistryError):
    """The backend does not know the registration, check or session that was named."""
