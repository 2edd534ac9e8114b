"""A network and a softmax layer -> a new version of a model, or a frozen graph as retrain.py writes it."""
