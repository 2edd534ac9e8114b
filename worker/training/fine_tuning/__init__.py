"""Trains the last blocks of the default network, too, and says by cross-validation whether that is better."""
