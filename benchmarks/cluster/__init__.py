"""What clients see of faults of a real Consul cluster."""
