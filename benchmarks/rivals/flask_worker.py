# /// script
# dependencies = ["flask==3.1.3", "gunicorn==27.0.1"]
# [tool.rival]
# name = "Flask"
# best = [
#     "-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--worker-class", "gthread", "--threads", "16",
#     "benchmarks.rivals.flask_worker:app()",
# ]
# quickstart = ["-m", "benchmarks.rivals.flask_worker", "{port}"]
# path = "/"
# body = "multipart data"
# ///
"""The article's worker: Flask, the multipart field `data`, one prediction a request.

Table (b): `app.run`, as the article starts it. Table (a): gunicorn with threads, as Flask's documentation deploys;
one process, since a second one would load a second engine onto the same two cores. Flask has no batching.
"""

from __future__ import annotations

import sys

from flask import Flask, Response, jsonify, request

from benchmarks.rivals.model import classify, load


def app() -> Flask:
    """The application, its model loaded."""
    flask = Flask(__name__)
    model = load()

    @flask.post("/")
    def answer() -> Response:
        image = model.decode(request.files["data"].read())
        return jsonify(classify(model, [image])[0])

    return flask


if __name__ == "__main__":
    app().run(port=int(sys.argv[1]))
