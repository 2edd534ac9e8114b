"""A loaded model that answers: image bytes in, scores out."""
