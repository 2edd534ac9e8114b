"""Runs a deployment for a long time under mixed load and faults, and looks for what grows."""
