"""The TensorFlow engine, and the conversion of its models for other engines."""
