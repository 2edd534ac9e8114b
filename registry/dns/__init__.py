"""The lookup service as a DNS server: answers queries for services with SRV, A and AAAA records."""
