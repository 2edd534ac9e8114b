"""The metrics of one lookup process, as Prometheus text."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterable
from time import monotonic

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from registry.discovery.directory import Directory
from registry.instances.instance import Health
from registry.lookup.fast_path import FastPath
from registry.lookup.tickets import LookupTickets
from registry.runtime.exposition import content_type, exposition, wants_openmetrics
from registry.runtime.tasks.count import unfinished_tasks
from registry.runtime.tls.server import ServerTls
from registry.runtime.tracing.current import current_trace


class LookupMetrics(Collector):
    """Counters of one lookup process, and gauges that are read from its directory at each scrape.

    `tls`, where there is one, says when its certificate ends, and `tickets` how old the key is that signs.
    """

    def __init__(
        self, directory: Directory, fast: FastPath, tickets: LookupTickets, tls: ServerTls | None = None
    ) -> None:
        self._directory = directory
        self._fast = fast
        self._tickets = tickets
        self._tls = tls
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self.requests = Counter(
            "p2p_registry_requests",
            "Requests answered by the framework, by status.",
            ["status"],
            registry=self._registry,
        )

    def answered(self, status: int) -> None:
        """Count a request that the framework has answered; that of a traced request is an exemplar."""
        trace = current_trace.get()
        counter = self.requests.labels(status=status)
        counter.inc(exemplar=None if trace is None else {"trace_id": trace.trace_id})

    def collect(self) -> Iterable[Metric]:
        """The state of every followed service."""
        instances = GaugeMetricFamily(
            "p2p_registry_instances", "Instances by service and health.", labels=["service", "health"]
        )
        versions = GaugeMetricFamily(
            "p2p_registry_serving_instances",
            "Instances that take requests, by the version that they serve by default.",
            labels=["service", "version"],
        )
        stale = GaugeMetricFamily(
            "p2p_registry_stale_seconds",
            "Since when the discovery backend has not confirmed the set; 0 while it does.",
            labels=["service"],
        )
        panic = GaugeMetricFamily(
            "p2p_registry_panic",
            "1 while all workers are handed out although fewer than half are healthy.",
            labels=["service"],
        )
        shares = GaugeMetricFamily(
            "p2p_registry_version_share",
            "The part of the lookups that a version gets by the split, 0 to 1; there only while a split is in force.",
            labels=["service", "version"],
        )
        absent = GaugeMetricFamily(
            "p2p_registry_split_absent_versions",
            "Versions with a weight in the split and without a healthy worker.",
            labels=["service"],
        )
        for service in self._directory.services():
            if service.shares is not None:
                absent.add_metric([service.name], len(service.shares.absent))
                for version, share in service.shares.fractions.items():
                    shares.add_metric([service.name, version], share)
            counts = Counts(instance.health for instance in service.snapshot.instances)
            for health in Health:  # zeros, too: an alert for "none is healthy" needs a number to look at
                instances.add_metric([service.name, health.value], counts[health])
            for version, count in Counts(instance.version for instance in service.snapshot.serving).items():
                versions.add_metric([service.name, version], count)
            stale.add_metric([service.name], service.watch.stale_s(monotonic()) or 0.0)
            panic.add_metric([service.name], float(service.snapshot.panic is not None))
        fast = CounterMetricFamily("p2p_registry_fast_lookups", "Lookups answered from ready-made bytes.")
        trace_id = self._fast.last_trace_id
        exemplar = Exemplar({"trace_id": trace_id}, 1.0) if trace_id else None
        fast.add_metric([], self._fast.answered, exemplar=exemplar)
        tasks = GaugeMetricFamily(
            "p2p_registry_tasks",
            "Tasks of the event loop that have not ended; more and more of them are a leak.",
            value=unfinished_tasks(),
        )
        if self._tls is not None:
            yield GaugeMetricFamily(
                "p2p_certificate_expiry_timestamp_seconds",
                "When the certificate in use ends, in seconds since 1970.",
                value=self._tls.expires_at_s(),
            )
        if self._tickets.key_created_s is not None:
            yield GaugeMetricFamily(
                "p2p_registry_ticket_key_created_timestamp_seconds",
                "When the key that signs tickets was made, in seconds since 1970.",
                value=self._tickets.key_created_s,
            )
        yield from [instances, versions, stale, panic, shares, absent, fast, tasks]

    async def handle(self, request: web.Request) -> web.Response:
        """`GET /metrics`: as Prometheus text, or as OpenMetrics where `Accept` asks for it."""
        openmetrics = wants_openmetrics(request.headers.get("Accept", ""))
        body = exposition(self._registry, openmetrics=openmetrics)
        return web.Response(body=body, headers={"Content-Type": content_type(openmetrics=openmetrics)})
