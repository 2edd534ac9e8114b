"""Turns images and tensors into request bodies, and answers back into values."""
