"""Keeps registrations in Consul: at the worker's agent, or in the catalogue, where lookup services check them."""
