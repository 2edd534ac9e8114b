"""How a server process starts, ends, and starts and stops child processes."""
