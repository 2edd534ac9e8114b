# A worker that runs models on CPUs. Mount models under /models: docker run p2p-worker worker --model /models/NAME
# Build it at the root of the repository: docker build -f deploy/docker/worker.Dockerfile -t p2p-worker .
# EXTRAS are the engines (pyproject.toml): with onnx or openvino alone the image is a fifth as large, and needs a --model.
ARG BASE=python:3.11.14-slim-bookworm

FROM ${BASE} AS build
ARG EXTRAS=worker,onnx,openvino
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY p2pclient p2pclient
COPY registry registry
COPY worker worker
COPY deploy deploy
RUN python3 -m venv /opt/p2p \
    && /opt/p2p/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt ./p2pclient ".[${EXTRAS}]" \
    && /opt/p2p/bin/pip uninstall --yes --quiet pip \
    && mkdir /cache /models

FROM ${BASE}
COPY --from=build /opt/p2p /opt/p2p
COPY --from=build --chown=10001:10001 /cache /var/cache/p2p-serving
COPY --from=build /models /models
ENV PATH=/opt/p2p/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    XDG_CACHE_HOME=/var/cache/p2p-serving \
    P2P_WORKER_HOST=0.0.0.0 \
    P2P_WORKER_PORT=8080
USER 10001:10001
# Models in the form that an engine runs fastest, so that the next start need not make them again.
VOLUME /var/cache/p2p-serving
EXPOSE 8080
# Loading and calibrating a large model takes its time; until then the health path answers 503.
HEALTHCHECK --interval=5s --timeout=3s --start-period=120s --retries=3 \
    CMD ["python3", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"P2P_WORKER_PORT\"]}/healthz', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["p2p"]
CMD ["worker"]
