"""One model's versions: which are loaded, which of them answers what, and how one takes over from another.

A look at the folder every few seconds -> `versions.decide` -> a new version is loaded beside the one that serves,
takes over between two batches, and the old one is let go when the last request that knew it has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace

from worker.artifacts import version_folders
from worker.artifacts.version_plan import LATEST, STABLE, Listing, Plan, VersionStatus, decide, meant
from worker.batching.core_scheduler import Turns
from worker.errors import ModelError, NotFound, Overloaded
from worker.inference.predictor import Predictor
from worker.repository.loader import Threads, close, open_predictor
from worker.repository.request_epochs import Requests
from worker.repository.trial_load import prepare
from worker.settings import Served, WorkerSettings
from worker.telemetry.metrics import WorkerMetrics

logger = logging.getLogger(__name__)

SOON_S = 1.0
"""After how long it is worth asking again for a version that is being loaded."""


@dataclass(frozen=True, slots=True)
class _Failure:
    fingerprint: int
    error: str


class Store:
    """The versions of one model; an async context manager that closes them all. `load` loads the first.

    `threads` and `turns` are those that all models of a worker share, `requests` counts all that the worker answers.
    """

    def __init__(
        self,
        served: Served,
        settings: WorkerSettings,
        *,
        threads: Threads,
        turns: Turns,
        numbers: WorkerMetrics,
        requests: Requests,
    ) -> None:
        self.name = served.name
        self.policy = settings.version_policy
        self._source = served.source
        self._settings = settings
        self._threads = threads
        self._turns = turns
        self._numbers = numbers
        self._requests = requests
        self._loaded: dict[str, Predictor] = {}
        self._leaving: list[Predictor] = []
        self._unloading: list[Predictor] = []
        self._failed: dict[str, _Failure] = {}
        self._loading: str | None = None
        self._plan = Plan()
        self._seen: Listing = {}
        self._change = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Store:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for predictor in (*self._loaded.values(), *self._leaving, *self._unloading):
            await close(predictor, threads=self._threads, patient=False)

    async def load(self) -> None:
        """Load and warm what the policy wants, and follow the folder from then on. Raises ModelError."""
        if not await asyncio.to_thread(version_folders.versioned, self._source.path):
            predictor = await self._open(None)
            self._loaded[predictor.model.version] = predictor
            return
        self._seen = await self._look()
        if not all(files.quiet for files in self._seen.values()):  # what was published just now is meant, too
            await asyncio.sleep(self._settings.watch_s)
        while await self._step(background=False) or not self._loaded:
            if not self._plan.load:
                self._raise_unless_coming()
                await asyncio.sleep(self._settings.watch_s)
        self._start(self._watch(), name=f"versions of {self.name}")

    @property
    def current(self) -> Predictor:
        """The version that answers where none is named. Raises Overloaded before it is loaded."""
        return self.find()

    @property
    def loaded(self) -> Mapping[str, Predictor]:
        """The versions that serve, the highest first."""
        return {version: self._loaded[version] for version in sorted(self._loaded, key=int, reverse=True)}

    @property
    def labels(self) -> Mapping[str, str]:
        """What each label means now; labels of versions that are not loaded are left out."""
        meanings = {label: self._meant(label=label) for label in (STABLE, LATEST, *self._settings.version_labels)}
        return {label: version for label, version in meanings.items() if version in self._loaded}

    @property
    def moving(self) -> bool:
        """Whether every version gets its predictions done."""
        return all(predictor.batcher.moving for predictor in self._loaded.values())

    @property
    def crowded(self) -> bool:
        """Whether a version's queue is nearly full."""
        return any(predictor.batcher.crowded for predictor in self._loaded.values())

    @property
    def next_change(self) -> asyncio.Event:
        """Set when the set of serving versions is no longer what it is now."""
        return self._change

    def find(self, *, version: str | None = None, label: str | None = None) -> Predictor:
        """See `Models.find`."""
        wanted = self._meant(version=version, label=label)
        found = self._loaded.get(wanted or "")
        if found is None:  # whoever looked this version up a moment ago is still on the way
            found = next((p for p in self._leaving if p.model.version == wanted), None)
        if found is None:
            raise self._missing(wanted, label)
        return found

    def statuses(self) -> Sequence[VersionStatus]:
        """See `Models.statuses`."""
        known = {version: VersionStatus(version, "START") for version in self._plan.wait}
        known |= {version: VersionStatus(version, "END", failure.error) for version, failure in self._failed.items()}
        known |= {p.model.version: VersionStatus(p.model.version, "UNLOADING") for p in self._unloading}
        known |= {version: VersionStatus(version, "LOADING") for version in [self._loading] if version}
        serving = [p.model.version for p in self._leaving] + list(self._loaded)
        known |= {version: VersionStatus(version, "AVAILABLE") for version in serving}
        return [known[version] for version in sorted(known, key=int, reverse=True)]

    def _meant(self, *, version: str | None = None, label: str | None = None) -> str | None:
        labels = self._settings.version_labels
        return meant(version=version, label=label, policy=self.policy, labels=labels, loaded=self._loaded)

    def _missing(self, version: str | None, label: str | None) -> NotFound | Overloaded:
        """Why a version that is asked for cannot answer."""
        asked = f"label {label!r}" if version is None else f"version {version[:40]!r}"
        if version in self._failed:
            return NotFound(f"Version {version} of {self.name} cannot be served: {self._failed[version].error}")
        if not self._loaded or (version is not None and version in (self._loading, *self._plan.wait)):
            return Overloaded(f"The model {self.name} is being loaded: ask again soon.", retry_after_s=SOON_S)
        has = f"versions {', '.join(self.loaded)} and labels {', '.join(self.labels)}"
        return NotFound(f"The model {self.name} has no {asked}; it has {has}.")

    async def _watch(self) -> None:
        """Look at the folder again and again."""
        readable = True
        while True:
            await asyncio.sleep(self._settings.watch_s)
            try:
                await self._step(background=True)
                readable = True
            except OSError as error:
                if readable:
                    logger.warning("%s cannot be read; what is loaded goes on serving: %s", self._source.path, error)
                readable = False

    async def _step(self, *, background: bool) -> bool:
        """Look, load at most one version, let go of what it replaces; whether one was loaded or failed to be."""
        before, now = self._seen, await self._look()
        self._failed = {version: failure for version, failure in self._failed.items() if version in now}
        self._seen, self._plan = now, self._decide(now, before)
        chosen = self._plan.load[:1]
        for version in chosen:
            await self._load(version, now[version].fingerprint, background=background)
        for version in self._decide(now, before).unload:
            self._retire(version)
        return bool(chosen)

    async def _look(self) -> Listing:
        assert self._source.path is not None
        return await asyncio.to_thread(version_folders.look, self._source.path)

    def _decide(self, now: Listing, before: Listing) -> Plan:
        failed = {version: failure.fingerprint for version, failure in self._failed.items()}
        return decide(self.policy, now=now, before=before, loaded=self._loaded, failed=failed)

    async def _load(self, version: str, fingerprint: int, *, background: bool) -> None:
        self._loading = version
        try:
            predictor = await self._open(version, background=background)
        except Exception as error:  # a framework raises what it likes; the version that serves must not suffer
            self._failed[version] = _Failure(fingerprint, str(error) or repr(error))
            logger.error("Version %s of %s could not be loaded: %s", version, self.name, error)
        else:
            self._failed.pop(version, None)
            self._loaded[version] = predictor
            self._changed()
        finally:
            self._loading = None

    async def _open(self, version: str | None, *, background: bool = False) -> Predictor:
        source = self._source
        if version is not None:
            assert source.path is not None
            source = replace(source, path=version_folders.folders(source.path)[version])
        if background:
            await prepare(source, name=self.name, within_s=self._settings.load_timeout_s)
        return await open_predictor(
            source,
            name=self.name,
            version=version,
            settings=self._settings,
            serving=self.current if background else None,
            threads=self._threads,
            turns=self._turns,
            numbers=self._numbers,
        )

    def _retire(self, version: str) -> None:
        """Serve no more by default; go on answering who looked this version up, then let go of it."""
        predictor = self._loaded.pop(version)
        self._leaving.append(predictor)
        self._changed()
        self._start(self._let_go(predictor), name=f"let go of {self.name} {version}")

    async def _let_go(self, predictor: Predictor) -> None:
        await asyncio.sleep(self._settings.drain_s)
        self._leaving.remove(predictor)
        self._unloading.append(predictor)
        await self._requests.begun_have_ended()
        await close(predictor, threads=self._threads)
        self._unloading.remove(predictor)
        logger.info("Let go of version %s of %s.", predictor.model.version, self.name)

    def _raise_unless_coming(self) -> None:
        """ModelError where no version can be loaded and none is being copied."""
        if self._plan.wait:
            return
        if self._failed:
            raise ModelError(self._failed[max(self._failed, key=int)].error)
        raise ModelError(
            f"{self._source.path} holds none of the versions that --version-policy {self.policy} wants; "
            f"it holds {', '.join(self._seen) or 'none'}."
        )

    def _changed(self) -> None:
        changed, self._change = self._change, asyncio.Event()
        changed.set()

    def _start(self, work: Coroutine[None, None, None], *, name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
