"""The worker beside the bare loop and its rivals, and what single parts of it cost."""
