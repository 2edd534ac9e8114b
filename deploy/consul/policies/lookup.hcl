# p2p registry: reads which services there are.
service_prefix "" { policy = "read" }

# Consul shows an instance only to those who may read its node.
node_prefix "" { policy = "read" }

# With --dns-port or ?near=_agent: learns the names of its datacenter and its node.
agent_prefix "" { policy = "read" }

# With --ticket-keys, and for p2p keys: publishes and revokes public ticket keys. Whoever may write here can make tickets.
key_prefix "p2p-serving/ticket-keys/" { policy = "write" }

# Follows the splits and shadows that p2p split and p2p promote write.
key_prefix "p2p-serving/rollouts/" { policy = "read" }
