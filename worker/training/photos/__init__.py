"""A folder of photos -> which photos are used, for which label, and to train, to validate or to test."""
