"""Carries one call from end to end: finds a worker, asks it, and asks another one where that helps."""
