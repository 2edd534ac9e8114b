"""What goes over the wire, both ways: queries, bodies, durations and Consul's JSON. Pure."""
