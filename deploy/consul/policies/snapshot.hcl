# The snapshot timer of a server. Consul gives a snapshot to those who may change ACLs and to nobody else: a snapshot
# holds all tokens. Keep this token on the servers, which hold them anyway.
acl = "write"
