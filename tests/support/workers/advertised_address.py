"""Prints the address that a worker with these arguments would advertise: --advertise or '', --host, --port, Consul."""

from __future__ import annotations

import asyncio
import sys

from registry.consul.settings import ConsulSettings
from registry.runtime.errors import RegistryError
from worker.advertising.advertise_flag import parse_advertise
from worker.advertising.advertised import find_advertised


async def main(advertise: str, host: str, port: str, consul: str) -> None:
    flag = parse_advertise(advertise) if advertise else None
    settings = ConsulSettings(url=consul)
    try:
        found = await find_advertised(flag, host=host, port=int(port), backend=settings)
    except RegistryError as error:
        print(error)
    else:
        print(found.host, found.port(0, int(port)), found.port(1, int(port) + 1))


asyncio.run(main(*sys.argv[1:]))
