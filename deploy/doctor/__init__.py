"""`p2p doctor`: says what is wrong on this host, in the order in which to mend it, and the cure of each."""
