"""`p2p status`: what is asked of the lookup service and of workers, and the table that shows it."""
