"""Tickets: permissions that a lookup service signs for callers and a worker checks, and the keys to both."""
