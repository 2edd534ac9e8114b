"""The command `p2p`, also `python -m p2pclient`; it says what to install where typer or rich is missing."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `p2p` with the arguments of this process."""
    try:
        from p2pclient.cli.app import application

        application(sys.argv[1:])(prog_name="p2p")
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print(f"p2p: its commands need {error.name}: pip install 'p2p-serving-client[cli]'", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
