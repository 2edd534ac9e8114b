"""The least that a lone client of this model can wait for: receive, decode, predict and answer in one blocking thread.

    python -m benchmarks.rivals.bare_socket PORT        (with the model in the environment, see `model`)

No rival, for it has no queue, no batches, no limits and no deadlines, and takes no care of a second client: it shows
what of a lone request's time belongs to sockets and cold caches, and so what a worker could save at most.
"""

from __future__ import annotations

import json
import socketserver
import sys

from benchmarks.rivals.model import classify, load

MODEL = load()


class Lone(socketserver.StreamRequestHandler):
    """A kept connection: one request after the other."""

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
    with Server(("127.0.0.1", int(sys.argv[1])), Lone) as server:
        server.serve_forever()
