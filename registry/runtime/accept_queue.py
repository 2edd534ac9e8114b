"""The end of a listening socket: connections that the kernel has made are taken over before it closes.

Closing a listening socket resets the connections in its accept queue, of which the server knows nothing. Their clients
found this server before it stopped, and have sent their requests already.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

_TURNS = 5  # of the event loop, in which asyncio makes protocols of the connections that it has accepted


async def stop_accepting(
    server: asyncio.Server, listener: socket.socket, connections: Callable[[], asyncio.Protocol]
) -> None:
    """Close `server`, whose one socket is `listener`, with no connection left in its queue.

    `connections` makes the protocol of each.
    """
    loop = asyncio.get_running_loop()
    loop.remove_reader(listener)  # from here on connections are accepted below only
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    while True:
        try:
            accepted, _ = listener.accept()
        except OSError:  # the queue is empty, or the process has no more files
            break
        accepted.setblocking(False)
        await loop.connect_accepted_socket(connections, accepted)
    server.close()  # at once after the last look into the queue
