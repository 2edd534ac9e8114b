"""A server of files that knows nothing of us and speaks TLS only: `tls_server.py PORT CERT KEY`."""

from __future__ import annotations

import ssl
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), SimpleHTTPRequestHandler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
