"""The lookup service measured: lookups per second beside rivals, propagation of changes, scale, footprint."""
