"""Runs any server as a worker: starts it on a free port, registers it and stops it."""
