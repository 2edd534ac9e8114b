"""The worker measured beside the bare loop and its rivals, and what parts of it cost."""
