# The lookup service and all else of p2p-serving that runs no model: the client, the proxies, the embedded agent.
# Build it at the root of the repository: docker build -f deploy/docker/lookup.Dockerfile -t p2p-lookup .
ARG BASE=python:3.11.14-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY p2pclient p2pclient
COPY registry registry
COPY worker worker
COPY deploy deploy
# What only installing needs, pip, stays behind; modules are compiled here, because the root is read-only later.
RUN python3 -m venv /opt/p2p \
    && /opt/p2p/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt ./p2pclient . \
    && /opt/p2p/bin/pip uninstall --yes --quiet pip setuptools \
    && mkdir /state

FROM ${BASE}
COPY --from=build /opt/p2p /opt/p2p
COPY --from=build --chown=10001:10001 /state /var/lib/p2p-serving
ENV PATH=/opt/p2p/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    P2P_REGISTRY_HOST=0.0.0.0 \
    P2P_REGISTRY_PORT=12480 \
    P2P_REGISTRY_STATE=/var/lib/p2p-serving/lookup.json
USER 10001:10001
# The last good snapshot, for a start while Consul is away.
VOLUME /var/lib/p2p-serving
EXPOSE 12480
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=2 \
    CMD ["python3", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"P2P_REGISTRY_PORT\"]}/healthz', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["p2p"]
CMD ["registry"]
