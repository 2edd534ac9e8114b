"""The commands `p2p worker`, `exec`, `label` and `retrain`: each parses its flags and calls."""
