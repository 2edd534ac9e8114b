"""What operators are told over HTTP: events, the summary of services and workers, metrics, targets for Prometheus."""
