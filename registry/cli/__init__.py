"""The commands that the registry adds to `p2p`: they parse and call, and import the rest when called."""
