"""Who is where: Consul followed, and the next worker's address handed out in rotation."""
