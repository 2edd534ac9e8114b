"""What web pages may do at our ports: the origins whose scripts may ask, and the names of this machine."""
