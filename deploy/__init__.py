"""Starts the parts: the `p2p` command, and `p2p up` for everything on one machine."""
