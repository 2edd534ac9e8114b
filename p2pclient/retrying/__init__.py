"""Decides whether to try again, and when; pure."""
