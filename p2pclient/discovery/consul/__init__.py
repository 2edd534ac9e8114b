"""Consul in a lookup service's place: its answers about workers, and the records of splits in its key/value store."""
