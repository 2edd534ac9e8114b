# p2p registry: reads which services there are.
service_prefix "" { policy = "read" }

# Consul shows an instance only to those who may read its node.
node_prefix "" { policy = "read" }

# Follows the splits and shadows that p2p split and p2p promote write.
key_prefix "p2p-serving/rollouts/" { policy = "read" }
