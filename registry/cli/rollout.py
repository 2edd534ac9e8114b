"""The commands `p2p split`, `promote` and `rollback`: they parse, and call what changes the record in Consul."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.runtime import names
from registry.runtime.cli_options import ca_option, cert_option, checked, consul_option, key_option

if TYPE_CHECKING:
    from registry.rollout.record_store import RecordStore
    from registry.rollout.version_reader import VersionReader

    Work = Callable[[RecordStore, VersionReader], Awaitable[int]]

ServiceName = Annotated[
    str,
    typer.Argument(
        metavar="SERVICE", show_default=False, callback=checked(names.service_name), help="The name of the service."
    ),
]
Agent = Annotated[str | None, consul_option("Consul agent that holds the record; CONSUL_HTTP_ADDR is read too.")]
Ca = Annotated[Path | None, ca_option("--ca", signed="the workers' certificates")]
Cert = Annotated[Path | None, cert_option("--cert", of="workers")]
Key = Annotated[Path | None, key_option("--key", cert="--cert")]


def split(
    service: ServiceName,
    weights: Annotated[
        list[str] | None,
        typer.Argument(metavar="[VERSION=WEIGHT]...", show_default=False, help="The split; 3=90 4=10."),
    ] = None,
    shadow: Annotated[
        list[str] | None,
        typer.Option(
            "--shadow", metavar="VERSION=PERCENT", help="A version that gets copies of so many calls. May be repeated."
        ),
    ] = None,
    no_shadows: Annotated[bool, typer.Option("--no-shadows", help="Send no copies any more.")] = False,
    off: Annotated[bool, typer.Option("--off", help="End the split and the shadows.")] = False,
    over: Annotated[str, typer.Option(metavar="TIME", help="How long rates are measured for the table.")] = "2s",
    json: Annotated[bool, typer.Option("--json", help="Show one JSON object.")] = False,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    consul: Agent = None,
) -> None:
    """Split the calls of a service among versions of its model.

    \b
      p2p split flowers 3=90 4=10        9 of 10 calls go to version 3
      p2p split flowers --shadow 4=5%    version 4 gets copies of 5 % of the calls
      p2p split flowers                  the split, with rate, errors and times
      p2p split flowers --off            every worker by its own weight

    Versions that are not named get no calls. Lookups, DNS and clients follow
    within 50 ms. Workers that want tokens want an operator's in P2P_TOKEN.
    """
    from registry.rollout import arguments, commands
    from registry.runtime.errors import SettingsError

    async def work(records: RecordStore, reader: VersionReader) -> int:
        if (off and (weights or shadow)) or (no_shadows and shadow):
            raise SettingsError("--off and --no-shadows end what the other arguments would set: give one of them.")
        wanted = commands.Change(
            arguments.weights(weights) if weights else None,
            arguments.percents(shadow) if shadow else ({} if no_shadows else None),
            off,
        )
        if wanted.any:
            lines = await commands.change(records, reader, service, wanted)
        else:
            measured_s = arguments.seconds(over)
            lines = await commands.shown(records, reader, service, measured_s=measured_s, as_object=json)
        typer.echo("\n".join(lines))
        return 0

    _run(work, service, consul, ca, cert, key)


def promote(
    service: ServiceName,
    version: Annotated[str, typer.Argument(metavar="VERSION", show_default=False, help="The version to promote.")],
    over: Annotated[str, typer.Option(metavar="TIME", help="How long it takes in all.")] = "10m",
    steps: Annotated[int, typer.Option(min=1, max=100, help="In how many equal steps.")] = 5,
    abort_if: Annotated[
        str,
        typer.Option(
            "--abort-if",
            metavar="CONDITIONS",
            help="Go back if one holds within a step: errors>1%, errors>2x, p99>2x, p99>250ms, p50>2x, agreement<95%; "
            "'' never.",
        ),
    ] = "errors>1%|p99>2x",
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    consul: Agent = None,
) -> None:
    """Give a version all calls of its service, step by step.

    Goes back to the split before where the version does worse.
    After each step its errors and times are judged, by what its workers and
    those of the other versions have counted in that step. Ctrl-C leaves the
    split of the last step.

    Exit codes: 0 promoted, 3 aborted, 130 interrupted, 1 anything else.
    """
    from registry.rollout import arguments
    from registry.rollout.abort_conditions import conditions

    async def work(records: RecordStore, reader: VersionReader) -> int:
        from registry.rollout.promotion import Promoter, Promotion

        promotion = Promotion(service, version, arguments.seconds(over), steps, conditions(abort_if))
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        return int(await Promoter(promotion, records, reader, say=_say, stop=stop).run())

    _run(work, service, consul, ca, cert, key)


def rollback(service: ServiceName, ca: Ca = None, cert: Cert = None, key: Key = None, consul: Agent = None) -> None:
    """Return to the split that a service had before the last change.

    That is the one before p2p promote began, whatever step it has reached.
    A second rollback takes the first one back.
    """
    from registry.rollout import commands

    async def work(records: RecordStore, reader: VersionReader) -> int:
        typer.echo("\n".join(await commands.rollback(records, reader, service)))
        return 0

    _run(work, service, consul, ca, cert, key)


def _run(work: Work, service: str, consul: str | None, ca: Path | None, cert: Path | None, key: Path | None) -> None:
    from registry.consul.key_value import KeyValue
    from registry.consul.settings import ConsulSettings
    from registry.rollout.record_store import RecordStore
    from registry.rollout.version_reader import reading_versions
    from registry.runtime.errors import RegistryError
    from registry.runtime.processes.lifecycle import run_with_own_signals
    from registry.runtime.tls.trust import TrustFiles

    async def main() -> int:
        settings = ConsulSettings.from_environment(os.environ, url=consul)
        trust, token = TrustFiles(ca, cert, key), os.environ.get("P2P_TOKEN") or None
        store = KeyValue(settings)
        try:
            async with reading_versions(settings, service, trust=trust, token=token) as reader:
                return await work(RecordStore(store, service), reader)
        finally:
            await store.close()

    raise typer.Exit(run_with_own_signals(main, failures=(RegistryError,)))


def _say(line: str) -> None:
    print(line, flush=True)
