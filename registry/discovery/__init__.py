"""The current instances of each service, and whose turn it is."""
