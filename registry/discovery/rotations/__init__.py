"""In which order instances are handed out: by weight, and by version where calls are split."""
