"""Rivals that the product is measured beside: one file per rival, and what installs, starts and asks all alike."""
