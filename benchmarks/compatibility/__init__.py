"""Unmodified third-party clients of the standard protocols, run against the worker."""
