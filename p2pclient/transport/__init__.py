"""HTTP exchanges with lookup services and workers."""
