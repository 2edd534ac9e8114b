"""Our values from and to Consul: the only package that knows Consul's vocabulary."""
