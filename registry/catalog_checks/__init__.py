"""Runs the health checks of workers in the catalogue, where no agent runs them: in one lookup process at a time."""
