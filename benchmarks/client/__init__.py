"""What p2pclient adds to a call, and what its callers see of faults."""
