"""One adapter for each framework: uint8 images in, probabilities out."""
