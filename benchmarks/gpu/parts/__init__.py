"""The parts of the run, a module for each; its function `measure` gives the figures."""
