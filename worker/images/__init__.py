"""Encoded image bytes in, pixels out."""
