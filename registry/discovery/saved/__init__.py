"""Keeps the last good snapshots in a file, for a start while the backend is away."""
