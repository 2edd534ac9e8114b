"""Simulated batching and balancing policies, side by side."""
