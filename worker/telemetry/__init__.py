"""The worker's numbers, as Prometheus text."""
