"""Decides which worker is asked next; pure."""
