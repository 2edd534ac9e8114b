# p2p worker, p2p exec: registers instances of one service. Name the service of --service here.
service "classify" { policy = "write" }

# Asks the agent for the address to advertise, as it does with --host 0.0.0.0 and no --advertise.
agent_prefix "" { policy = "read" }

# With --require-ticket: follows the public ticket keys.
key_prefix "p2p-serving/ticket-keys/" { policy = "read" }
