"""The open connections of a server: how many there may be, what may wait to be sent on them, and how they end."""
