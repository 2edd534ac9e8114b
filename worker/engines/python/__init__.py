"""Python files as models: a class of the user's own predicts, in a child process of the worker."""
