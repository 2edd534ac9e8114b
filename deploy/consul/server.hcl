# Settings of a Consul server, beside consul.hcl; host.hcl adds bootstrap_expect, the number of servers.

server = true

# A server that stops for a moment stays a member, so that the others keep their quorum and wait for it.
leave_on_terminate      = false
skip_leave_on_interrupt = true

# Timeouts of a data centre: a leader that fails is replaced within a few seconds.
performance {
  raft_multiplier = 1
}

# A server whose replacement works is removed from the peers.
autopilot {
  cleanup_dead_servers      = true
  last_contact_threshold    = "1s"
  server_stabilization_time = "10s"
}
