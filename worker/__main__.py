"""`python -m worker` is `p2p worker`."""

from worker.cli.worker import main

main()
