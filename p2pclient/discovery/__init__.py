"""Finds out which workers exist, from the lookup service or from Consul."""
