# A worker that runs TensorFlow models on an NVIDIA GPU. It has never been run: the machines that the tests run on have no
# GPU for containers. It needs the NVIDIA container toolkit: docker run --gpus all p2p-worker-cuda worker --model /models/NAME
# Build it at the root of the repository: docker build -f deploy/docker/worker-cuda.Dockerfile -t p2p-worker-cuda .
ARG BASE=python:3.11.14-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY p2pclient p2pclient
COPY registry registry
COPY worker worker
COPY deploy deploy
# TensorFlow's extra brings the CUDA libraries that it was built with; the driver comes from the host.
RUN python3 -m venv /opt/p2p \
    && /opt/p2p/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt \
        ./p2pclient ".[worker]" "tensorflow[and-cuda]" \
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
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    P2P_WORKER_HOST=0.0.0.0 \
    P2P_WORKER_PORT=8080 \
    P2P_WORKER_ENGINE=tensorflow \
    P2P_WORKER_DEVICE=gpu
USER 10001:10001
VOLUME /var/cache/p2p-serving
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=120s --retries=3 \
    CMD ["python3", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"P2P_WORKER_PORT\"]}/healthz', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["p2p"]
CMD ["worker"]
