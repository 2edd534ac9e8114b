"""Accuracy over labelled images: what is true, what is counted, the report and the picture."""
