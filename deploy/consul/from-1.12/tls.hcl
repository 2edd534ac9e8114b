# TLS in both directions, as Consul spells it from 1.12 on; in place of ../tls.hcl. Written after Consul's documentation
# and parsed by a test, but not run: the tests' Consul is 1.8.7.

tls {
  defaults {
    ca_file         = "/etc/consul.d/tls/ca.pem"
    cert_file       = "/etc/consul.d/tls/agent.pem"
    key_file        = "/etc/consul.d/tls/agent-key.pem"
    verify_incoming = true
    verify_outgoing = true
    tls_min_version = "TLSv1_2"
  }

  internal_rpc {
    verify_server_hostname = true # a client agent's certificate makes nobody a server
  }
}
