"""Turns folders of photos into a model."""
