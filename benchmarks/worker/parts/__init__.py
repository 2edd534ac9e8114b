"""What single parts of the worker cost, mostly in processor time."""
