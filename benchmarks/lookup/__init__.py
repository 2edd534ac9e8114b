"""Lookups: speed, propagation, scale, footprint."""
