"""What can go wrong in the registry, each with a sentence that names the cause and the cure.

RegistryError
├── ConsulUnavailable      no answer, or an answer that is not to be believed (5xx, broken JSON)
├── ConsulRefused          Consul understood and said no: a bad request, a certificate that it does not know
│   └── TokenRefused       the token has not the right to do this, or does not exist
├── Forgotten              the agent does not know this service or check (any more): register again
└── SettingsError          a flag or variable that cannot be used as it stands
"""

from __future__ import annotations


class RegistryError(Exception):
    """The base of all errors of this package."""


class ConsulUnavailable(RegistryError):
    """Consul did not answer, or answered with a server error: worth another try."""


class ConsulRefused(RegistryError):
    """Consul answered and refused: another try will not help before somebody changes something."""


class TokenRefused(ConsulRefused):
    """The token has not the right; said, too, by an agent that has just started and reaches no server to ask."""


class Forgotten(RegistryError):
    """The agent does not know the service or check that was named."""


class SettingsError(RegistryError):
    """A setting cannot be used."""
