"""Which models and versions are loaded, and how one version takes over from another."""
