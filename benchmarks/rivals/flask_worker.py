# /// script
# dependencies = ["flask==3.1.3", "gunicorn==27.0.1"]
# [tool.rival]
# name = "Flask"
# best = [
#     "-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--worker-class", "gthread", "--timeout", "0",
#     "--workers", "{workers}", "--threads", "{pool}", "benchmarks.rivals.flask_worker:app()",
# ]
# quickstart = ["-m", "benchmarks.rivals.flask_worker", "{port}"]
# path = "/"
# body = "multipart data"
# settings = { workers = 2, pool = 8, threads = 1 }
# alone = { workers = 1, pool = 16, threads = 0 }
# variants = [
#     { workers = 1, pool = 16, threads = 0 },
#     { workers = 1, pool = 2, threads = 0 },
#     { workers = 1, pool = 16, threads = 1 },
#     { workers = 1, pool = 2, threads = 1 },
#     { workers = 2, pool = 8, threads = 1 },
#     { workers = 2, pool = 1, threads = 1 },
# ]
# ///
"""Flask, as the article's worker: the image is the form's field `data`; one prediction per request.

Table (b): `app.run`, as the article starts it. Table (a): gunicorn, as Flask's documentation deploys, with worker
processes and a pool of threads in each; its timeout is off, since the benchmark lets contestants wait for their turn
longer than that. Flask has no batching; its threads predict side by side.
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
