"""The lookup service: follows the services in Consul and answers with the next worker's address in rotation."""
