"""Accuracy over labelled images: measured, shown as text, drawn."""
