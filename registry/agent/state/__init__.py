"""What the agent knows, in memory, with an index for every change."""
