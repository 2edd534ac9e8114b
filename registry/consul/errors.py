"""What can go wrong between us and Consul, each with a sentence that names the cause and the cure.

RegistryError (registry.runtime.errors)
├── ConsulUnavailable      no answer, or an answer that is not to be believed (5xx, broken JSON)
├── ConsulRefused          Consul understood and said no: a bad request, a certificate that it does not know
│   └── TokenRefused       the token does not have the right to do this, or does not exist
└── Forgotten              the agent does not know this service or check (any more): register again
"""

from __future__ import annotations

from registry.runtime.errors import RegistryError


class ConsulUnavailable(RegistryError):
    """Consul did not answer, or answered with a server error: another try is worthwhile."""


class ConsulRefused(RegistryError):
    """Consul answered and refused: another try will not help before somebody changes something."""


class TokenRefused(ConsulRefused):
    """The token has not the right; an agent that has just started and reaches no server says the same."""


class Forgotten(RegistryError):
    """The agent does not know the service or check that was named."""
