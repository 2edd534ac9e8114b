"""Health checks: what a client may define, and how each one runs."""
