"""A lookup as a plain aiohttp application on uvloop, of a list and a handler. Argument: the port."""

import itertools
import sys

import uvloop
from aiohttp import web

turn = itertools.cycle([20000, 20001])


async def lookup(_: web.Request) -> web.Response:
    return web.Response(text=f"{next(turn)}\n")


app = web.Application()
app.add_routes([web.get("/", lookup), web.get("/next", lookup)])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=uvloop.new_event_loop())
