# p2p registry: reads which services there are.
service_prefix "" { policy = "read" }

# Consul shows an instance only to those who may read its node.
node_prefix "" { policy = "read" }
