"""Selects the engine that serves a model: engines are compared once, and the choice is saved."""
