"""The lookup service's HTTP answers."""
