"""Trains a model from folders of photos."""
