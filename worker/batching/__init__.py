"""Collects images into batches and runs them on the cores; knows nothing about models."""
