"""TensorFlow Serving's REST protocol."""
