"""The base class of the errors of `registry`, and the error for a setting that cannot be used."""

from __future__ import annotations


class RegistryError(Exception):
    """The base of all errors of the package `registry`."""


class SettingsError(RegistryError):
    """A setting cannot be used; the sentence names the flag or the variable, and says what can be used."""
