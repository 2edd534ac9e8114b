"""Broken and odd requests thrown at each port."""
