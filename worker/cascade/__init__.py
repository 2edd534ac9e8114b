"""Several services or models answer as one: which run for an image, in how much time, and what they say together."""
