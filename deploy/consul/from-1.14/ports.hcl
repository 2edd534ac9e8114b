# Closes the port for gRPC over TLS, which servers open from Consul 1.14 on and which nothing here uses. Written after
# Consul's documentation and parsed by a test, but not run: the tests' Consul is 1.8.7.

ports {
  grpc_tls = -1
}
