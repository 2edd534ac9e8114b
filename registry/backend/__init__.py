"""What the lookup service and workers ask of a discovery backend, Consul or ZooKeeper: protocols, values and errors."""
