"""Decides whether there is another attempt, and when: pure functions of what went wrong and of the time left."""
