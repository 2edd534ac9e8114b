"""Which requests a port of a worker answers, by tokens, tickets, quotas and host names, before it reads a body."""
