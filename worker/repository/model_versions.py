"""One model's versions: which are loaded, which of them answers a request, and how one takes over from another.

The folder is read every few seconds -> `plan_versions` decides -> a new version is loaded while the old one serves, and
takes over between two batches -> the old one is unloaded when the last request that may use it has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace

from worker.artifacts.source import is_versioned
from worker.artifacts.version_folders import list_versions, version_folders
from worker.artifacts.version_plan import (
    LATEST,
    STABLE,
    Listing,
    VersionPlan,
    VersionStatus,
    plan_versions,
    resolve_version,
)
from worker.batching.core_scheduler import CoreScheduler
from worker.errors import Busy, ModelError, NotFound
from worker.repository.loader import LoadedPredictor, WorkerThreads, close_at_exit, open_predictor, unload
from worker.repository.request_epochs import RequestEpochs
from worker.repository.trial_load import trial_load
from worker.settings import Served, WorkerSettings
from worker.telemetry.metrics import WorkerMetrics

logger = logging.getLogger(__name__)

SOON_S = 1.0
"""After how many seconds a client may ask again for a version that is being loaded."""


@dataclass(frozen=True, slots=True)
class _Failure:
    fingerprint: int
    error: str


class ModelVersions:
    """The versions of one model; an async context manager that closes them all. `load` loads the first.

    All models of a worker share `threads` and `scheduler`; `requests` counts all requests that the worker answers.
    """

    def __init__(
        self,
        served: Served,
        settings: WorkerSettings,
        *,
        threads: WorkerThreads,
        scheduler: CoreScheduler,
        numbers: WorkerMetrics,
        requests: RequestEpochs,
    ) -> None:
        self.name = served.name
        self.policy = settings.version_policy
        self._source = served.source
        self._settings = settings
        self._threads = threads
        self._scheduler = scheduler
        self._numbers = numbers
        self._requests = requests
        # Replaced, never changed: other threads (heartbeats) iterate over it.
        self._loaded: Mapping[str, LoadedPredictor] = {}
        self._draining: list[LoadedPredictor] = []
        self._unloading: list[LoadedPredictor] = []
        self._failed: dict[str, _Failure] = {}
        self._loading: str | None = None
        self._plan = VersionPlan()
        self._listing: Listing = {}
        self._change = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> ModelVersions:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        predictors = (*self._loaded.values(), *self._draining, *self._unloading)
        await asyncio.gather(*(close_at_exit(predictor, threads=self._threads) for predictor in predictors))

    async def load(self) -> None:
        """Load and calibrate what the policy wants, then follow the folder in the background. Raises ModelError."""
        if not await asyncio.to_thread(is_versioned, self._source.path):
            predictor = await self._open(None)
            self._loaded = {predictor.model.version: predictor}
            return
        self._listing = await self._read_folder()
        if not all(files.quiet for files in self._listing.values()):  # a version that is being published counts, too
            await asyncio.sleep(self._settings.watch_s)
        while await self._reconcile(background=False) or not self._loaded:
            if not self._plan.load:
                self._raise_unless_copying()
                await asyncio.sleep(self._settings.watch_s)
        self._start(self._watch(), name=f"versions of {self.name}")

    @property
    def current(self) -> LoadedPredictor:
        """The default version's predictor. Raises Busy before it is loaded."""
        return self.find()

    @property
    def loaded(self) -> Mapping[str, LoadedPredictor]:
        """The predictors that serve, by version, the highest first."""
        return {version: self._loaded[version] for version in sorted(self._loaded, key=int, reverse=True)}

    @property
    def labels(self) -> Mapping[str, str]:
        """The version that each label means now, without labels of versions that are not loaded."""
        meanings = {label: self._resolved(label=label) for label in (STABLE, LATEST, *self._settings.version_labels)}
        return {label: version for label, version in meanings.items() if version and version in self._loaded}

    @property
    def moving(self) -> bool:
        """Whether every version gets its predictions done. From any thread."""
        return all(predictor.moving for predictor in self._loaded.values())

    @property
    def trouble(self) -> str | None:
        """Why some version cannot predict at the moment, as a sentence; None if all can. From any thread."""
        return next((found for predictor in self._loaded.values() if (found := predictor.model.trouble)), None)

    @property
    def fit(self) -> bool:
        """Whether requests should come here. From any thread.

        A Python model whose process has ended makes its service unfit, and nothing else of the worker: it comes back
        by itself, so that no service manager must start the worker again.
        """
        return self.moving and self.trouble is None

    @property
    def crowded(self) -> bool:
        """Whether some version's queue is nearly full."""
        return any(predictor.batcher.crowded for predictor in self._loaded.values())

    @property
    def next_change(self) -> asyncio.Event:
        """An event that is set when a version begins to serve or ceases to, begins to be loaded, or fails."""
        return self._change

    def find(self, *, version: str | None = None, label: str | None = None) -> LoadedPredictor:
        """See `ModelRepository.find`."""
        wanted = self._resolved(version=version, label=label)
        found = self._loaded.get(wanted or "")
        if found is None:  # clients that looked this version up a moment ago still send requests
            found = next((p for p in self._draining if p.model.version == wanted), None)
        if found is None:
            raise self._missing(wanted, label)
        return found

    def statuses(self) -> Sequence[VersionStatus]:
        """See `ModelRepository.statuses`."""
        known = {version: VersionStatus(version, "START") for version in self._plan.wait}
        known |= {version: VersionStatus(version, "END", failure.error) for version, failure in self._failed.items()}
        known |= {p.model.version: VersionStatus(p.model.version, "UNLOADING") for p in self._unloading}
        known |= {version: VersionStatus(version, "LOADING") for version in [self._loading] if version}
        serving = [p.model.version for p in self._draining] + list(self._loaded)
        known |= {version: VersionStatus(version, "AVAILABLE") for version in serving}
        return [known[version] for version in sorted(known, key=int, reverse=True)]

    def _resolved(self, *, version: str | None = None, label: str | None = None) -> str | None:
        labels = self._settings.version_labels
        return resolve_version(version=version, label=label, policy=self.policy, labels=labels, loaded=self._loaded)

    def _missing(self, version: str | None, label: str | None) -> NotFound | Busy:
        """The error for a requested version that cannot answer."""
        asked = f"label {label!r}" if version is None else f"version {version[:40]!r}"
        if version in self._failed:
            return NotFound(f"Version {version} of {self.name} cannot be served: {self._failed[version].error}")
        if not self._loaded or (version is not None and version in (self._loading, *self._plan.wait)):
            return Busy(f"The model {self.name} is being loaded: ask again soon.", retry_after_s=SOON_S)
        has = f"versions {', '.join(self.loaded)} and labels {', '.join(self.labels)}"
        return NotFound(f"The model {self.name} has no {asked}; it has {has}.")

    async def _watch(self) -> None:
        """Reconcile with the folder again and again; an error never ends that."""
        readable = True
        while True:
            await asyncio.sleep(self._settings.watch_s)
            try:
                await self._reconcile(background=True)
                readable = True
            except OSError as error:
                if readable:
                    logger.warning("%s cannot be read; what is loaded goes on serving: %s", self._source.path, error)
                readable = False
            except Exception:
                logger.exception("Following the versions of %s failed unexpectedly; it goes on.", self.name)

    async def _reconcile(self, *, background: bool) -> bool:
        """Read the folder, load at most one version, retire what it replaces; whether loading one was tried."""
        before, now = self._listing, await self._read_folder()
        self._failed = {version: failure for version, failure in self._failed.items() if version in now}
        self._listing, self._plan = now, self._decide(now, before)
        chosen = self._plan.load[:1]
        for version in chosen:
            await self._load(version, now[version].fingerprint, background=background)
        for version in self._decide(now, before).unload:
            self._retire(version)
        return bool(chosen)

    async def _read_folder(self) -> Listing:
        assert self._source.path is not None
        return await asyncio.to_thread(list_versions, self._source.path)

    def _decide(self, now: Listing, before: Listing) -> VersionPlan:
        failed = {version: failure.fingerprint for version, failure in self._failed.items()}
        return plan_versions(self.policy, now=now, before=before, loaded=self._loaded, failed=failed)

    async def _load(self, version: str, fingerprint: int, *, background: bool) -> None:
        self._loading = version
        self._changed()
        try:
            predictor = await self._open(version, background=background)
        except Exception as error:  # a framework may raise anything; the version that serves goes on
            self._failed[version] = _Failure(fingerprint, str(error) or repr(error))
            logger.error("Version %s of %s could not be loaded: %s", version, self.name, error)
        else:
            self._failed.pop(version, None)
            self._loaded = {**self._loaded, version: predictor}
        finally:
            self._loading = None
            self._changed()

    async def _open(self, version: str | None, *, background: bool = False) -> LoadedPredictor:
        source = self._source
        if version is not None:
            assert source.path is not None
            source = replace(source, path=version_folders(source.path)[version])
        if background:
            await trial_load(source, name=self.name, within_s=self._settings.load_timeout_s)
        return await open_predictor(
            source,
            name=self.name,
            version=version,
            settings=self._settings,
            serving=self.current if background else None,
            threads=self._threads,
            scheduler=self._scheduler,
            numbers=self._numbers,
        )

    def _retire(self, version: str) -> None:
        """Make a version the default no more, answer requests for it for a while, then unload it."""
        predictor = self._loaded[version]
        self._loaded = {other: loaded for other, loaded in self._loaded.items() if other != version}
        self._draining.append(predictor)
        self._changed()
        self._start(self._unload_when_unused(predictor), name=f"unload {self.name} {version}")

    async def _unload_when_unused(self, predictor: LoadedPredictor) -> None:
        await asyncio.sleep(self._settings.drain_s)
        self._draining.remove(predictor)
        self._unloading.append(predictor)
        await self._requests.earlier_ended()
        try:
            await unload(predictor, threads=self._threads)
        except Exception:
            logger.exception("Version %s of %s could not be unloaded.", predictor.model.version, self.name)
        else:
            logger.info("Unloaded version %s of %s.", predictor.model.version, self.name)
        self._unloading.remove(predictor)  # not when cancelled: it is closed at exit then

    def _raise_unless_copying(self) -> None:
        """Raise ModelError where no version can be loaded and none is being copied."""
        if self._plan.wait:
            return
        if self._failed:
            raise ModelError(self._failed[max(self._failed, key=int)].error)
        raise ModelError(
            f"{self._source.path} holds none of the versions that --version-policy {self.policy} wants; "
            f"it holds {', '.join(self._listing) or 'none'}."
        )

    def _changed(self) -> None:
        changed, self._change = self._change, asyncio.Event()
        changed.set()

    def _start(self, work: Coroutine[None, None, None], *, name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
