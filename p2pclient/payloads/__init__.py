"""Turns values into requests and answers into values: images, labels and tensors."""
