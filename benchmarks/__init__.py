"""The project's claims, measured beside rivals; contestants take turns in one run, and ratios of medians count."""
