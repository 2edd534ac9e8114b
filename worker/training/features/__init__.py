"""Photos -> features of the last and of several earlier layers of a network, cached by content."""
