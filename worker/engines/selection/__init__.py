"""Which engine serves a model: compared once, and the choice kept."""
