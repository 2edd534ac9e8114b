"""TLS: what a server shows its clients, and what a client of servers trusts."""
