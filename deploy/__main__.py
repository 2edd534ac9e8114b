"""`python -m deploy` is `p2p`."""

from deploy.cli import main

main()
