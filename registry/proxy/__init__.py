"""The proxy, for clients that cannot reach workers: to a fixed list of workers, or to those that Consul knows."""
