# What a request without a token may do at the agent of the host NAME, where the agent is older than Consul 1.10: such an
# agent has only this right when it removes services that it has lost with its data. bootstrap.sh makes one for each host.
node "NAME" { policy = "write" }
