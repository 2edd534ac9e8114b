"""Carries requests to lookup services, Consul and workers, and their answers back."""
