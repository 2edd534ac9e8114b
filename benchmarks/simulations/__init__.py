"""Batching and balancing policies compared in simulations."""
