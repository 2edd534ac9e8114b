# TLS in both directions, as Consul 1.8 to 1.11 spells it; from 1.12 on from-1.12/tls.hcl is used in its place.

ca_file   = "/etc/consul.d/tls/ca.pem"
cert_file = "/etc/consul.d/tls/agent.pem"
key_file  = "/etc/consul.d/tls/agent-key.pem"

verify_incoming        = true
verify_outgoing        = true
verify_server_hostname = true # a client agent's certificate makes nobody a server

tls_min_version = "tls12"
