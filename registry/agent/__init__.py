"""A Consul agent for one machine, in memory: registrations and key-value writes in, Consul's own JSON out.

It speaks as much of Consul's HTTP API (as of 1.8.7) as this project, py-consul, the npm package
`consul`, Prometheus and the `consul` command line use, with Consul's shapes, status codes, index
semantics and blocking queries, and runs TTL, HTTP and TCP checks for real. It binds loopback only,
has no access control, keeps nothing on disk and says so when it starts; it is no member of any cluster.

A request flows `http` (bytes, routes) -> `agent_api`, `catalog_api`, `kv_api` (translate) -> `agent`
(registrations, checks, maintenance) -> `store` and `kv` (state) -> `changes` (the index, and who waits for it).
Nothing in this package imports anything of ours from outside it.
"""
