"""`python -m worker` is `p2p worker`."""

from worker.cli import main

main()
