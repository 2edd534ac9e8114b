"""Consul itself: where a real one comes from, and how agents are configured."""
