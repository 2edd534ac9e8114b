"""What happens to workers, versions and the lookup service: events, found as differences, logged and kept."""
