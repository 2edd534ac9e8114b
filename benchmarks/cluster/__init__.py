"""What clients see of faults on a real Consul cluster."""
