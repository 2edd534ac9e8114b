# Settings of a client agent, which runs on every host of workers or of a lookup service, beside consul.hcl.

server = false

# An agent that is stopped in order takes its node and its services out of the catalogue at once. Stop workers before
# their agent: the units of p2p-serving are ordered so.
leave_on_terminate = true
