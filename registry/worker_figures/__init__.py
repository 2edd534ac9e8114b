"""What workers count of their requests: read from their metrics, turned into rates and times, kept for 15 minutes."""
