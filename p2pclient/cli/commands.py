"""The commands `classify` and `lookup`: they read their arguments, call, and choose the exit code.

What is slow to import is imported inside them: `--help` loads neither aiohttp nor asyncio.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import typer

from p2pclient.cli.arguments import (
    Concurrency,
    Count,
    Csv,
    Json,
    Names,
    Output,
    Plot,
    Registry,
    Routing,
    RoutingOption,
    Service,
    ServiceArgument,
    Timeout,
    TokenFile,
    Top,
    TruthOption,
)
from p2pclient.cli.connection import client_for
from p2pclient.cli.exit_codes import FAILED, INTERRUPTED
from p2pclient.cli.terminal_output.terminal import complain, show_warnings, terminal_width, write
from p2pclient.cli.tracing import traced_calls
from p2pclient.types import DEFAULT_REGISTRY

if TYPE_CHECKING:
    from p2pclient import AsyncClient, Panic, Worker
    from p2pclient.cli.classify import ClassifyOptions, ClassifyRun, Form
    from p2pclient.cli.evaluation.ground_truth import GroundTruth
    from p2pclient.cli.results_file import ResultsFile


def classify(
    names: Names,
    registry: Registry = DEFAULT_REGISTRY,
    service: Service = None,
    top: Top = None,
    as_json: Json = False,
    as_csv: Csv = False,
    timeout: Timeout = 30.0,
    concurrency: Concurrency = 8,
    routing: RoutingOption = None,
    output: Output = None,
    truth: TruthOption = None,
    plot: Plot = None,
    token_file: TokenFile = None,
) -> None:
    """Say what is in each image.

    \b
      p2p classify cat.jpg
      p2p classify --json photos/ > labels.jsonl
      p2p classify photos/ --output labels.jsonl    # again after Ctrl-C: goes on
      p2p classify test/ --truth by-folder          # accuracy
      find . -name '*.png' | p2p classify -

    What fails is named on standard error while the rest goes on; the exit code is then 1.
    """
    from p2pclient.cli.classify import ClassifyOptions, ClassifyRun, Form

    single = len(names) == 1 and names[0] != "-" and os.path.isfile(names[0]) and not truth
    form = _form(single=single, as_json=as_json, as_csv=as_csv, output=output)
    routing = routing or (Routing.LOOKUP if single else Routing.WATCH)
    truths = _truth(truth, plot)
    default_top = 1 if form is Form.LINES else 5
    with ExitStack() as stack:
        provider = stack.enter_context(traced_calls(lambda sentence: complain("classify", sentence)))
        client = client_for(
            registry, service, timeout, token_file=token_file, routing=routing.value, tracer_provider=provider
        )
        results = _results_file(output, stack)
        options = ClassifyOptions(
            names=names, form=form, top=top or default_top, concurrency=concurrency, truth=truths, output=results
        )
        run = ClassifyRun(client, options)
        show_warnings(run.complain)
        code = _run_to_the_end(run)
    if output or code == INTERRUPTED:
        complain("classify", f"{'interrupted: ' if code == INTERRUPTED else ''}{run.summary}")
    if truths is not None:
        code = _report_accuracy(run, options, plot) or code
    raise typer.Exit(code)


def _form(*, single: bool, as_json: bool, as_csv: bool, output: str | None) -> Form:
    from p2pclient.cli.classify import Form

    chosen = [flag for flag, given in (("--json", as_json), ("--csv", as_csv), ("--output", output)) if given]
    if len(chosen) > 1:
        raise typer.BadParameter(f"{' and '.join(chosen)} exclude each other: give one of them")
    if chosen:
        return {"--json": Form.JSON, "--csv": Form.CSV, "--output": Form.NOTHING}[chosen[0]]
    return Form.LIST if single else Form.LINES


def _truth(source: str | None, plot: str | None) -> GroundTruth | None:
    """The true labels. Wrong usage, and a missing matplotlib, are found here, before hours of work."""
    from p2pclient.cli.evaluation.ground_truth import read_truth

    if plot is not None:
        if source is None:
            raise typer.BadParameter("--plot draws what --truth finds out: give both")
        try:
            import p2pclient.cli.evaluation.plot  # noqa: F401 - only whether it can be loaded
        except ImportError:
            raise typer.BadParameter("--plot needs matplotlib: pip install 'p2p-serving-client[plot]'") from None
    if source is None:
        return None
    try:
        return read_truth(source)
    except OSError as error:
        raise typer.BadParameter(f"--truth {source}: {error.strerror or error}") from None
    except ValueError as error:
        raise typer.BadParameter(f"--truth: {error}") from None


def _results_file(output: str | None, stack: ExitStack) -> ResultsFile | None:
    """The results file, which is open until `stack` ends."""
    from p2pclient.cli.results_file import ForeignFile, ResultsFile

    try:
        return stack.enter_context(ResultsFile(output)) if output else None
    except OSError as error:
        raise typer.BadParameter(f"--output {output}: {error.strerror or error}") from None
    except ForeignFile as error:
        raise typer.BadParameter(f"--output: {error}") from None


def _run_to_the_end(run: ClassifyRun) -> int:
    """Run it; the exit code."""
    import asyncio

    try:
        asyncio.run(run.run())
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        raise  # the reader of the lines has gone (`| head`): typer ends the command quietly
    except OSError as error:  # an error about one image does not come as far as this
        complain("classify", f"{error.filename or 'the results'}: {error.strerror or error}")
        return FAILED
    return FAILED if run.failed else 0


def _report_accuracy(run: ClassifyRun, options: ClassifyOptions, plot: str | None) -> int:
    """Write the report where it does not mix with data, and the picture; the exit code.

    True labels that the model gave to no image at all are a failure: they are hardly labels of this model.
    """
    from p2pclient.cli.classify import Form
    from p2pclient.cli.evaluation.report import report
    from p2pclient.cli.terminal_output.columns import shortened

    text = report(run.accuracy, failed=run.failed, unlabelled=run.unlabelled, width=terminal_width())
    if options.form in (Form.JSON, Form.CSV):
        print(text, end="", file=sys.stderr, flush=True)
    else:
        write(text)
    code = 0
    if run.accuracy.images and not run.accuracy.any_truth_predicted:
        names = shortened(", ".join(run.accuracy.classes), 60)
        complain("classify", f"no image got one of the true labels ({names}): does this model know them?")
        code = FAILED
    return (_draw(run, plot) if plot is not None else 0) or code


def _draw(run: ClassifyRun, path: str) -> int:
    """Draw the confusion matrix; the exit code."""
    from p2pclient.cli.evaluation.plot import plot

    try:
        plot(run.accuracy, path)
    except OSError as error:
        complain("classify", f"--plot {path}: {error.strerror or error}")
        return FAILED
    return 0


def lookup(
    service: ServiceArgument = None,
    registry: Registry = DEFAULT_REGISTRY,
    count: Count = 1,
    as_json: Json = False,
    timeout: Timeout = 5.0,
    token_file: TokenFile = None,
) -> None:
    """Print the HOST:PORT of the next worker in rotation.

    One that requires tickets is printed with its ticket, as HOST:PORT/?ticket=..., which curl takes as it is.

    Where no worker is healthy, all are named all the same, since it may be the checks that are wrong: a line on
    standard error says so, and the exit code is 1.

    \b
      p2p lookup
      curl -F data=@cat.jpg $(p2p lookup classify)
    """
    import asyncio

    from p2pclient import P2PError
    from p2pclient.cli.formats import worker_as_json, worker_as_line

    show_warnings(lambda sentence: complain("lookup", sentence))
    try:
        workers, panic = asyncio.run(
            _lookup(client_for(registry, service, timeout, token_file=token_file), service, count)
        )
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except P2PError as error:
        complain("lookup", str(error))
        raise typer.Exit(FAILED) from None
    for worker in workers:
        write(worker_as_json(worker) if as_json else worker_as_line(worker))
    if panic is not None and not panic.healthy:
        raise typer.Exit(FAILED)


async def _lookup(client: AsyncClient, service: str | None, count: int) -> tuple[list[Worker], Panic | None]:
    """Workers, and how few of the service's are healthy in panic mode."""
    async with client:
        return await client.lookup(count=count), client._core.source.panic(service)
