"""`python -m worker` is `p2p worker`."""

import runpy
import sys

sys.argv.insert(1, "worker")
runpy.run_module("p2pclient", run_name="__main__")
