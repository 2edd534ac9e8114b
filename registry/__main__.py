"""`python -m registry` is `p2p registry`."""

from registry.cli import main

main()
