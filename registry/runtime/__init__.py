"""How a server process starts, listens, supervises tasks and children, and ends; worker and deploy use it, too."""
