"""Keeps the current instances of each service, and the rotation that decides which one is next."""
