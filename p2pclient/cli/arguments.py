"""The arguments and options of the client's commands, each defined once with its variable and its help."""

from __future__ import annotations

import enum
from typing import Annotated

import typer


class Routing(enum.StrEnum):
    """How `p2p classify` finds workers."""

    WATCH = "watch"
    LOOKUP = "lookup"


_SERVICE_HELP = "Which service (the registry has a default)."

Names = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE|DIR|PATTERN|-...",
        help="Images; DIR: those in a folder and below; 'PATTERN*.jpg', '**' included; -: names from standard "
        "input, one a line, or as find -print0 writes them.",
    ),
]
Registry = Annotated[
    str,
    typer.Option(
        envvar="P2P_REGISTRY",
        metavar="URL",
        help="The lookup service: URL, HOST:PORT or HOST, several with commas between; or consul://HOST:8500.",
    ),
]
TokenFile = Annotated[
    str | None,
    typer.Option(
        "--token-file",
        envvar="P2P_TOKEN_FILE",
        metavar="FILE",
        help="File with the token, or with the line Authorization: Bearer TOKEN as curl -H @FILE takes it; used in "
        "place of P2P_TOKEN.",
    ),
]
Service = Annotated[
    str | None,
    typer.Option(envvar="P2P_SERVICE", metavar="NAME", help=_SERVICE_HELP),
]
ServiceArgument = Annotated[str | None, typer.Argument(envvar="P2P_SERVICE", help=_SERVICE_HELP)]
Top = Annotated[
    int | None,
    typer.Option(envvar="P2P_TOP", min=1, help="Labels per image (default: 5; 1 in a list of files)."),
]
Json = Annotated[bool, typer.Option("--json", envvar="P2P_JSON", help="One JSON object a line.")]
Csv = Annotated[bool, typer.Option("--csv", envvar="P2P_CSV", help="CSV with a header, one row a label.")]
Timeout = Annotated[
    float,
    typer.Option(envvar="P2P_TIMEOUT", min=0.001, metavar="SECONDS", help="Time for each call, retries included."),
]
Concurrency = Annotated[int, typer.Option(envvar="P2P_CONCURRENCY", min=1, help="Images under way at the same time.")]
Count = Annotated[int, typer.Option(envvar="P2P_COUNT", min=1, help="Up to that many different workers.")]
RoutingOption = Annotated[
    Routing | None,
    typer.Option(
        "--routing",
        envvar="P2P_ROUTING",
        help="watch: keep a list of the workers and pick from it; lookup: ask for a worker at each image.  "
        "[default: watch; lookup for a single file]",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        envvar="P2P_OUTPUT",
        metavar="FILE.jsonl",
        help="Add the results to this file, one JSON object a line, and leave out "
        "the images that it already holds, by name: one that was changed since is not done anew.",
    ),
]
TruthOption = Annotated[
    str | None,
    typer.Option(
        "--truth",
        envvar="P2P_TRUTH",
        metavar="FILE.csv|by-folder",
        help="Report accuracy against a table of file,label, or against the names of the images' folders.",
    ),
]
Plot = Annotated[
    str | None,
    typer.Option(envvar="P2P_PLOT", metavar="FILE.png", help="With --truth: draw the confusion matrix."),
]
Watch = Annotated[bool, typer.Option("--watch", envvar="P2P_WATCH", help="Go on, and show it anew.")]
Wide = Annotated[
    bool, typer.Option("--wide", envvar="P2P_WIDE", help="With each worker's rate, errors and times, in longer lines.")
]
Interval = Annotated[
    float, typer.Option(envvar="P2P_INTERVAL", min=0.1, metavar="SECONDS", help="With --watch: how often.")
]
Follow = Annotated[bool, typer.Option("--follow", "-f", envvar="P2P_FOLLOW", help="Go on, and show what happens.")]
