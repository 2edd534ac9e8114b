"""Measures how good and how fast the models are that `p2p retrain` makes."""
