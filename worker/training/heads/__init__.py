"""Features and labels -> a softmax layer, chosen among several by cross-validation."""
