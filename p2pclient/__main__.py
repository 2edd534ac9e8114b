"""`python -m p2pclient`: the client's commands without the rest of `p2p`."""

from __future__ import annotations

from p2pclient.cli.app import app

if __name__ == "__main__":
    app(prog_name="python -m p2pclient")
