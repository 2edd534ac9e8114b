"""What is known of one registered worker: its values, and whether they can be used. Knows no registry's protocol."""
