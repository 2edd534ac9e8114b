"""A server of one blocking thread per connection: the least latency that a lone client of this model can have.

    python -m benchmarks.rivals.bare_socket PORT        (the environment names the model, see `benchmarks.rivals.model`)

The thread receives, decodes, predicts and answers. This is not a rival: it has no queue, batches, limits or deadlines.
It shows how much of a lone request's latency belongs to sockets and cold caches, which no worker can save.
"""

from __future__ import annotations

import json
import socketserver
import sys

from benchmarks.rivals.model import classify, load

MODEL = load()


class Connection(socketserver.StreamRequestHandler):
    """A persistent connection: one request after the other."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        while self.rfile.readline():
            length = 0
            while line := self.rfile.readline().strip():
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            body = json.dumps(classify(MODEL, [MODEL.decode(self.rfile.read(length))])[0]).encode()
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            self.wfile.write(head + body)


class Server(socketserver.ThreadingTCPServer):
    """A thread for each connection."""

    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with Server(("127.0.0.1", int(sys.argv[1])), Connection) as server:
        server.serve_forever()
