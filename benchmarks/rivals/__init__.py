"""What our servers are measured beside: one small file a rival, and what is needed to run them alike."""
