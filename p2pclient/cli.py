"""`p2p classify` and `p2p lookup`: arguments in, calls of the client, lines out.

The commands are plain functions, so that the `p2p` command can carry them too. What is slow to import
is imported inside them: `--help` loads neither aiohttp nor asyncio. Exit codes: 0 all went well, 1
something failed (a line on standard error says what), 2 wrong usage, 130 Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from p2pclient.types import DEFAULT_REGISTRY, Prediction

if TYPE_CHECKING:
    from p2pclient import AsyncClient, P2PError, Worker

    Outcome = Prediction | P2PError | OSError

FAILED = 1
INTERRUPTED = 130

app = typer.Typer(
    name="p2p",
    help="Ask for predictions: look a worker up, then post the image straight to it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Names = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE|DIR|-...",
        help="Images; DIR: those in a folder and below; -: file names from standard input, one a line.",
    ),
]
Registry = Annotated[
    str, typer.Option(envvar="P2P_REGISTRY", metavar="URL", help="The lookup service: URL, HOST:PORT or HOST.")
]
Service = Annotated[
    str | None,
    typer.Option(envvar="P2P_SERVICE", metavar="NAME", help="Which service (the registry has a default)."),
]
ServiceArgument = Annotated[
    str | None, typer.Argument(envvar="P2P_SERVICE", help="Which service (the registry has a default).")
]
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


@app.command(no_args_is_help=True)
def classify(
    names: Names,
    registry: Registry = DEFAULT_REGISTRY,
    service: Service = None,
    top: Top = None,
    as_json: Json = False,
    as_csv: Csv = False,
    timeout: Timeout = 30.0,
    concurrency: Concurrency = 8,
) -> None:
    """Say what is in each image.

    \b
      p2p classify cat.jpg
      p2p classify --json photos/ > labels.jsonl
      find . -name '*.png' | p2p classify -

    What fails is named on standard error while the rest goes on; the exit code is then 1.
    """
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other: give one of them")
    import asyncio

    single = len(names) == 1 and names[0] != "-" and not os.path.isdir(names[0])
    top = top or (5 if single or as_json or as_csv else 1)
    client = _client(registry, service, timeout)
    show = _shower(single=single, as_json=as_json, as_csv=as_csv)
    try:
        failed = asyncio.run(_classify(client, names, top, concurrency, show))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(FAILED if failed else 0)


@app.command()
def lookup(
    service: ServiceArgument = None,
    registry: Registry = DEFAULT_REGISTRY,
    count: Count = 1,
    as_json: Json = False,
    timeout: Timeout = 5.0,
) -> None:
    """Print the HOST:PORT of the next worker in rotation.

    \b
      p2p lookup
      curl -F data=@cat.jpg $(p2p lookup classify)
    """
    import asyncio

    from p2pclient import P2PError
    from p2pclient.show import worker_as_json

    try:
        workers = asyncio.run(_lookup(_client(registry, service, timeout), count))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except P2PError as error:
        _complain("lookup", str(error))
        raise typer.Exit(FAILED) from None
    for worker in workers:
        _write(worker_as_json(worker) if as_json else f"{worker.address}\n")


def _client(registry: str, service: str | None, timeout_s: float) -> AsyncClient:
    from p2pclient import AsyncClient

    try:
        return AsyncClient(registry, service=service, timeout_s=timeout_s)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


async def _lookup(client: AsyncClient, count: int) -> list[Worker]:
    async with client:
        return await client.lookup(count=count)


async def _classify(
    client: AsyncClient, names: list[str], top: int, concurrency: int, show: Callable[[str, Outcome], None]
) -> int:
    """Classify all and show each as its turn comes; answers how many failed."""
    import asyncio

    from p2pclient import P2PError
    from p2pclient.batch import files
    from p2pclient.many import Many

    failed = 0

    async def outcome(file: str) -> Outcome:
        try:
            return await client.classify(file, top=top)
        except (P2PError, OSError) as error:
            return error

    async with client, Many(files(names, stdin=0), outcome, concurrency=concurrency) as results:
        try:
            async for file, result in results:
                show(file, result)
                failed += not isinstance(result, Prediction)
        except asyncio.CancelledError:  # Ctrl-C: what is done is shown all the same
            for file, result in results.finished():
                show(file, result)
            raise
    return failed


def _shower(*, single: bool, as_json: bool, as_csv: bool) -> Callable[[str, Outcome], None]:
    """What to do with an outcome: a text for standard output, a line on standard error if it failed."""
    from p2pclient import show

    def text(file: str, outcome: Outcome) -> str:
        if as_json:
            return show.as_json(file, outcome)
        if as_csv:
            return show.as_csv(file, outcome)
        if not isinstance(outcome, Prediction):
            return ""
        return show.as_list(outcome) if single else show.as_line(file, outcome)

    def tell(file: str, outcome: Outcome) -> None:
        _write(text(file, outcome))
        if not isinstance(outcome, Prediction):
            _complain("classify", f"{file}: {show.reason(outcome)}")

    if as_csv:
        _write(show.csv_row(*show.CSV_HEADER))
    return tell


def _write(text: str) -> None:
    """To standard output at once; what its encoding lacks (odd file names, labels) is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def _complain(command: str, sentence: str) -> None:
    print(f"p2p {command}: {sentence}", file=sys.stderr, flush=True)
