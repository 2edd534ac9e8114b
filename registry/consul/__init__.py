"""Speaks with Consul: the only package that knows Consul's API and turns its answers into our values."""
