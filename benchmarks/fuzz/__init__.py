"""Fuzzers, which send broken and odd requests to each port."""
