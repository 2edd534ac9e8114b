"""Third-party clients of the standard protocols, unmodified, against our worker."""
