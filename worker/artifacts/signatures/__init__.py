"""What a model's file says of its inputs and outputs, read without its framework."""
