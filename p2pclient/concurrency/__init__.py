"""Bounded work on many items, and stopping what a task awaits."""
