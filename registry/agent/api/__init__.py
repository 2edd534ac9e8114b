"""The agent's HTTP API: Consul's requests in, Consul's own JSON out."""
