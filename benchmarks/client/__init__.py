"""What p2pclient adds to a call, how it spreads calls, and what its callers see of faults."""
