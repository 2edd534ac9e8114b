"""Reads that wait for a change: what they wait for, and how many may wait."""
