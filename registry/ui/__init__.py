"""The web page of the lookup service: its files, which need no build step, and how they are served."""
