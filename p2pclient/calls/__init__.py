"""Carries one call from end to end: finds a worker, asks it, tries again."""
