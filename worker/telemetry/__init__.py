"""The worker's metrics, as Prometheus reads them."""
