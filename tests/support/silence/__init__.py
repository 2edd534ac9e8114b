"""Runs commands where no packet reaches anything but themselves, and reports each packet that they try to send."""
