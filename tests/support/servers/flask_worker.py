"""A worker as in the article, in a dozen lines of Flask: multipart field `data` in, [[label, score], ...] out."""

from __future__ import annotations

import sys

from flask import Flask, Response, jsonify, request

app = Flask(__name__)


@app.get("/")
def alive() -> str:
    return "alive\n"


@app.post("/")
def classify() -> Response:
    image = request.files["data"].read()
    return jsonify([[f"an image of {len(image)} bytes", 0.9], ["something else", 0.1]])


app.run(port=int(sys.argv[1]))
