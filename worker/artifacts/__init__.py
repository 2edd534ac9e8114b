"""A model on disk: its files, labels, preprocessing and version folders."""
