"""Log lines of our processes: their format and level, and the access log."""
