"""How the parts are started: the `p2p` command, everything on one machine, and files for fleets."""
