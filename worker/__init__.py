"""One model behind HTTP: images are decoded, gathered into batches, predicted, and answered."""
