"""Images wait, batches run; nothing here knows what a model is."""
