"""Facts about this host, its Consul and its lookup service: each module asks for or reads one kind of them."""
