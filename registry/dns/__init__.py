"""The same answers as DNS: queries in, SRV, A and AAAA records out."""
