# Consul's own agent on the host NAME; bootstrap.sh makes a policy of its own for each host. It writes its node.
node "NAME" { policy = "write" }

# Finds services in the catalogue that no longer run on its host, and removes them.
service_prefix "" { policy = "read" }
