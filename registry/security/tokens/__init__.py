"""Tokens: the file that names the callers, and how a new one is made."""
