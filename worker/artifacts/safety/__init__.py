"""Finds what in a model's files could run code or touch other files, before a framework reads them."""
