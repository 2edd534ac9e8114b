"""The web page of a worker's port and the page of its HTTP interface: their files, and the paths where they are."""
