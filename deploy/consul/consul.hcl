# Settings that Consul servers and client agents share, from Consul 1.8 on; goes to /etc/consul.d/ with server.hcl or
# client.hcl, tls.hcl, and the host.hcl that bootstrap.sh makes for each host (name, address, servers, keys, tokens).

datacenter = "dc1"
data_dir   = "/var/lib/consul"

# Only processes of this host use the agent. They show a certificate and a token there, too.
client_addr = "127.0.0.1"

ports {
  http  = -1 # HTTPS alone
  https = 8501
  grpc  = -1
  dns   = -1 # `p2p registry --dns-port` answers as DNS
}

# Without a token nothing is allowed. What was allowed when the servers became unreachable stays allowed until they
# answer again, so that workers and lookup services live through their outage.
acl {
  enabled        = true
  default_policy = "deny"
  down_policy    = "extend-cache"
}

# An agent that lost the others asks again every few seconds, for ever: there is no host on which to give up.
retry_interval = "5s"
retry_max      = 0

# A lookup service holds a connection for each service that it follows, so the default of 200 for each address is low.
# What does not finish its handshake, or asks without a pause, is cut off.
limits {
  http_max_conns_per_client = 2000
  https_handshake_timeout   = "5s"
  rpc_max_conns_per_client  = 100
  rpc_handshake_timeout     = "5s"
  rpc_rate                  = 1000
  rpc_max_burst             = 2000
}

# /v1/agent/metrics?format=prometheus, with names that do not contain the host's.
telemetry {
  prometheus_retention_time = "60s"
  disable_hostname          = true
}

# Checks that run programs are refused, and nobody runs commands through the cluster.
enable_script_checks       = false
enable_local_script_checks = false
disable_remote_exec        = true
disable_update_check       = true
