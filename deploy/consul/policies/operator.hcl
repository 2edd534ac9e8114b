# An operator: takes any instance out of the rotation and back (consul maint -service=ID).
service_prefix "" { policy = "write" }

# Sees the nodes and the instances on them (consul members, consul catalog nodes).
node_prefix "" { policy = "read" }

# Sees which servers vote and which one leads, before a server is restarted (consul operator raft list-peers).
operator = "read"

# Splits the calls of a service among versions (p2p split, promote, rollback).
key_prefix "p2p-serving/rollouts/" { policy = "write" }
