"""Attacks on a deployment: what well-behaved callers and the memory of each process notice of them."""
