"""The base of the registry's errors, and the error of a setting that cannot be used."""

from __future__ import annotations


class RegistryError(Exception):
    """The base of all errors of the package `registry`."""


class SettingsError(RegistryError):
    """A setting cannot be used; the sentence names the flag or the variable, and what would do."""
