"""At which address clients and Consul reach what is registered from this host, and whether others can reach it."""
