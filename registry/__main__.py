"""`python -m registry` is `p2p registry`."""

import runpy
import sys

sys.argv.insert(1, "registry")
runpy.run_module("p2pclient", run_name="__main__")
