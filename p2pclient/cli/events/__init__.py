"""`p2p events`: asks the lookup service what has happened, and shows it."""
