"""Composes and runs one worker process, from binding its port to its exit."""
