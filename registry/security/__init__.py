"""Who may do what at our ports: tokens, tickets, quotas; shared with workers."""
