"""A loaded model: image bytes in, scores out."""
