"""A run of ten minutes on a machine with a GPU and many cores: workers beside bare loops, lookups by processes."""
