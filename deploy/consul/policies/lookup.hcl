# p2p registry: reads which services there are.
service_prefix "" { policy = "read" }

# Consul shows an instance only to those who may read its node.
node_prefix "" { policy = "read" }

# Publishes the key that this host signs tickets with (--ticket-keys). Whoever may write here can sign tickets.
key_prefix "p2p-serving/ticket-keys/" { policy = "write" }

# Follows the splits and shadows that p2p split and p2p promote write.
key_prefix "p2p-serving/rollouts/" { policy = "read" }
