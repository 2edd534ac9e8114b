"""What we claim, measured beside its rivals in one run: ratios of medians, contestants alternating."""
