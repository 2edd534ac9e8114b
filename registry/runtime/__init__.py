"""How a server process starts, listens, watches over its children and ends; shared with the worker and `p2p up`."""
